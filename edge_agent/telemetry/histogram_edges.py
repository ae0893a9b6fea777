"""Upper edges of the histograms' buckets, chosen for what small boards do. Pure data.

A board has a budget of series, and one histogram costs its edges and three more, so that none has over twelve.
"""

# Arrival to first token. 50 ms: a cached prompt on a GPU box. A Pi prefills 20 to 100 tokens a second, so that a long
# prompt takes a minute and a full queue of them ten; beyond 600 s nobody waits.
# Queue time and prefill time, its two parts, have the same edges and can be set beside it.
FIRST_TOKEN_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600)

# Arrival, or first token, to last token. 250 ms: a one-word answer. A Pi decodes a 4B model at 3 to 6 tokens a second:
# a paragraph is 20 to 40 s, a full answer of 1,000 tokens some 300 s.
ANSWER_SECONDS = (0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 300, 600)

# Gap of two tokens. 5 ms: a 135M model on a desktop core, or tokens of one accepted draft; 50 to 350 ms: where Pi and
# Jetson live, and the scheduler's default target (250 ms) is an edge of its own; 10 s: paging, a hung SD card.
TOKEN_GAP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.35, 0.5, 1, 2.5, 10)

# One llama_decode: from a small model's single row to the longest step that max_step_seconds allows (60 s), with edges
# at its default (5 s) and at the default gap that prefill has to keep (250 ms).
STEP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)

# Rows of one step: a single running answer is 1; llama.cpp's kernels change at powers of two; 512 is the default batch
# and 8,192 the largest that the configuration takes.
STEP_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 2048, 8192)

# Tokens of a prompt: a question is 16, a system prompt with tools some thousand, 32,768 the longest context of the
# models that fit.
PROMPT_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)

# Tokens of an answer: a class label is 1; on a Pi 1,024 already take minutes.
GENERATED_TOKENS = (1, 4, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)

# How late the event loop wakes: 1 ms is a quiet board, 50 ms is felt in a stream, 5 s means paging.
LOOP_LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)

# An answer of a receiver of samples: 10 ms on the local network, a second over a mobile link, 30 s the time limit.
REMOTE_WRITE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
