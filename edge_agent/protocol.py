"""What agent and engine say to each other: frozen structs, sent as the frames of `frames`.

Two socket pairs connect the processes, so that every direction has one writer and needs no lock:
`commands` carries the agent's frames to the engine's intake and the intake's answers back; `reports` carries what the
step loop says, one way. Times are seconds of CLOCK_MONOTONIC, which all processes of one machine share.
"""

from __future__ import annotations

import enum

import msgspec

from edge_agent.disk_prefix import DiskPrefix


class FinishReason(enum.Enum):
    """Why a sequence ended: OpenAI's words, and two of ours."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CANCELLED = "cancelled"
    ERROR = "error"


class Phase(enum.Enum):
    """What a step computed: prompt rows only, one row a running answer only, or both."""

    PREFILL = "prefill"
    DECODE = "decode"
    MIXED = "mixed"


class RefusalKind(enum.Enum):
    """Why the intake turned a request away."""

    CONTEXT_LENGTH = "context_length"
    INVALID = "invalid"
    STORAGE = "storage"


class Message(msgspec.Struct, frozen=True, tag_field="type"):
    """Base of every frame."""


# --- agent to engine ---------------------------------------------------------------------------------------------


class EngineSettings(msgspec.Struct, frozen=True):
    """All that the engine is told before it loads, as `config` describes it: sizes in tokens, times in seconds."""

    model_path: str
    context_length: int
    max_sequences: int
    max_batch_tokens: int
    max_step_seconds: float
    target_inter_token_seconds: float
    max_saved_prefix_bytes: int
    max_draft_tokens: int
    kv_cache_type: str
    flash_attention: bool
    micro_batch_tokens: int
    repack: bool
    num_threads: int
    num_threads_batch: int
    num_gpu_layers: int
    mmap: bool
    mlock: bool
    # SHA-256 of the model file: prefixes on disk belong to it. Empty when it is not known; then none are kept.
    model_digest: str
    prefix_folder: str
    max_disk_prefix_bytes: int


class Load(Message, frozen=True, tag="load"):
    """The first frame, once."""

    settings: EngineSettings


class SamplingSettings(msgspec.Struct, frozen=True):
    """How a token is chosen. temperature 0 is greedy; top_k 0, top_p 1, min_p 0, penalties 0 (repeat 1) are off."""

    temperature: float = 1.0
    top_k: int = 40
    top_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    penalty_last_n: int = 64
    seed: int | None = None
    logit_bias: dict[int, float] = {}


class ChatMessage(msgspec.Struct, frozen=True):
    """One message of a conversation, content already flattened to text."""

    role: str
    content: str
    name: str | None = None


class ChatPrompt(msgspec.Struct, frozen=True, tag="chat"):
    """A conversation, to be rendered with the model's own chat template."""

    messages: list[ChatMessage]


class TextPrompt(msgspec.Struct, frozen=True, tag="text"):
    """Text, tokenised as it stands."""

    text: str


class TokenPrompt(msgspec.Struct, frozen=True, tag="tokens"):
    """Token ids, used as they stand."""

    tokens: list[int]


Prompt = ChatPrompt | TextPrompt | TokenPrompt


class Submit(Message, frozen=True, tag="submit"):
    """A request for one answer. `max_tokens` None means up to the end of the context."""

    id: int
    prompt: Prompt
    arrived: float
    sampling: SamplingSettings = SamplingSettings()
    max_tokens: int | None = None
    stop: list[str] = []
    ignore_eos: bool = False
    # How many alternatives to report beside each token's own log-probability; None reports none.
    num_logprobs: int | None = None


class Cancel(Message, frozen=True, tag="cancel"):
    """The client is gone: free what the request holds. Unknown ids are ignored (it may just have finished)."""

    id: int


class Tokenize(Message, frozen=True, tag="tokenize"):
    """Answered by `Tokenized`, or `Refused` for too long a text.

    `add_special` puts BOS where the model wants it; `parse_special` reads `<|…|>`.
    """

    id: int
    text: str
    add_special: bool
    parse_special: bool


class Detokenize(Message, frozen=True, tag="detokenize"):
    """Answered by `Detokenized`, or `Refused` for a token outside the vocabulary."""

    id: int
    tokens: list[int]


class PinPrefix(Message, frozen=True, tag="pin_prefix"):
    """Answered like `Submit`; then the step loop says `Prefixes` once the prefix is on the disk, or `Refused`."""

    id: int
    prompt: Prompt
    arrived: float
    name: str | None = None


class ListPrefixes(Message, frozen=True, tag="list_prefixes"):
    """Answered by the step loop with `Prefixes`."""

    id: int


class DropPrefix(Message, frozen=True, tag="drop_prefix"):
    """Answered by the step loop with `Prefixes`: the one that was dropped, or none."""

    id: int
    prefix_id: str


class Stop(Message, frozen=True, tag="stop"):
    """End now."""


Command = Load | Submit | Cancel | Tokenize | Detokenize | PinPrefix | ListPrefixes | DropPrefix | Stop

# --- the intake's answers ----------------------------------------------------------------------------------------


class Accepted(Message, frozen=True, tag="accepted"):
    """The prompt is tokenised, fits, and waits for the step loop."""

    id: int
    num_prompt_tokens: int


class Refused(Message, frozen=True, tag="refused"):
    """The request was not taken; numbers are set for `context_length` only."""

    id: int
    kind: RefusalKind
    message: str
    param: str | None = None
    num_prompt_tokens: int = 0
    context_length: int = 0


class Tokenized(Message, frozen=True, tag="tokenized"):
    """Token ids and, for each, its bytes (a token may end inside a UTF-8 character)."""

    id: int
    tokens: list[int]
    pieces: list[bytes]


class Detokenized(Message, frozen=True, tag="detokenized"):
    """Text of the tokens, broken UTF-8 replaced."""

    id: int
    text: str


Answer = Accepted | Refused | Tokenized | Detokenized

# --- the step loop's reports -------------------------------------------------------------------------------------


class LoadProgress(Message, frozen=True, tag="load_progress"):
    """How much of the model file is read, 0 to 1."""

    fraction: float


class ModelFacts(msgspec.Struct, frozen=True):
    """What is loaded. `context_length` is what one request may use; `kv_cells` the size of the unified cache."""

    architecture: str
    quantization: str
    num_parameters: int
    size_bytes: int
    context_length: int
    trained_context_length: int
    kv_cells: int
    vocabulary_size: int
    max_batch_tokens: int
    num_gpu_layers: int
    load_seconds: float
    llama_cpp_version: str


class Ready(Message, frozen=True, tag="ready"):
    """The model is loaded; the intake takes requests."""

    model: ModelFacts


class LoadFailed(Message, frozen=True, tag="load_failed"):
    """llama.cpp refused the file or the settings; the engine ends by itself after this."""

    message: str


class PromptTokens(msgspec.Struct, frozen=True):
    """Prompt tokens by where they came from."""

    computed: int = 0
    memory: int = 0
    disk: int = 0


class SequenceTimes(msgspec.Struct, frozen=True):
    """A request's named moments. None: not reached."""

    arrived: float
    queued: float
    scheduled: float | None = None
    first_token: float | None = None
    last_token: float | None = None
    finished: float | None = None


class TokenLogprob(msgspec.Struct, frozen=True):
    """Natural log of a token's probability before temperature, penalties and cuts."""

    token: int
    piece: bytes
    logprob: float


class TokenLogprobs(msgspec.Struct, frozen=True):
    """The sampled token's log-probability and the most likely alternatives, best first."""

    chosen: TokenLogprob
    top: list[TokenLogprob] = []


class SequenceReport(msgspec.Struct, frozen=True):
    """What one step did for one sequence. `text` may lag behind `tokens` (stop strings, UTF-8 are held back)."""

    id: int
    text: str = ""
    tokens: list[int] = []
    # Prompt tokens of this step only; a recomputed token is not here again.
    prompt: PromptTokens = PromptTokens()
    num_drafted: int = 0
    num_accepted: int = 0
    # When this sequence's token before these was sampled; None when `tokens` holds its first.
    previous_token: float | None = None
    # Set in the report that holds the first token.
    first_token: SequenceTimes | None = None
    logprobs: list[TokenLogprobs] | None = None


class KvCells(msgspec.Struct, frozen=True):
    """Cells of running sequences, cells held for reuse only, all."""

    used: int
    cached: int
    capacity: int


class EngineUsage(msgspec.Struct, frozen=True):
    """The engine process as the kernel counts it; `private` is what the mapped model file does not explain."""

    resident_bytes: int
    private_bytes: int
    cpu_seconds: float


class Report(Message, frozen=True, tag="report"):
    """One step. `num_prefill_rows` includes rows computed again after a sequence was sent back to wait."""

    started: float
    ended: float
    num_prefill_rows: int
    num_decode_rows: int
    kv: KvCells
    num_running: int
    num_waiting: int
    sequences: list[SequenceReport]
    # Prompt tokens looked up in, found in, and cells evicted from the prefix cache since the last report.
    num_prefix_queried: int = 0
    num_prefix_hit: int = 0
    num_prefix_evicted: int = 0
    usage: EngineUsage | None = None

    @property
    def phase(self) -> Phase:
        if self.num_prefill_rows == 0:
            return Phase.DECODE
        return Phase.MIXED if self.num_decode_rows else Phase.PREFILL

    @property
    def seconds(self) -> float:
        return self.ended - self.started


class Finished(Message, frozen=True, tag="finished"):
    """A sequence is over; its cells are freed or held for reuse. Follows the report of its last step.

    `text` is what had been held back and is now known to be part of the answer.
    """

    id: int
    reason: FinishReason
    times: SequenceTimes
    prompt: PromptTokens
    num_generated_tokens: int
    num_drafted: int = 0
    num_accepted: int = 0
    text: str = ""
    stop_string: str | None = None
    error: str | None = None


class Idle(Message, frozen=True, tag="idle"):
    """Sent once a second while there is nothing to compute."""

    at: float
    kv: KvCells
    usage: EngineUsage


class Prefixes(Message, frozen=True, tag="prefixes"):
    """Prefixes on disk that somebody asked for; `is_new` where one was computed and written for it."""

    id: int
    prefixes: list[DiskPrefix]
    is_new: bool = False


LoopMessage = LoadProgress | Ready | LoadFailed | Report | Finished | Idle | Prefixes | Refused
