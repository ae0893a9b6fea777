"""Every metric of the agent's own, declared once: name, type, labels, definition, edges. Pure data.

`metric_set` builds `METRIC_TABLE`, `device_metrics` renders the device's rows; docs/metrics.md shows all of them to
users, and a test holds the two equal.
`process_*` is not here: client_python declares those.
"""

from __future__ import annotations

from edge_agent.device.thermal_state import ThermalState
from edge_agent.engine_client.listener import EndCause
from edge_agent.protocol import FinishReason, Phase
from edge_agent.telemetry import histogram_edges as edges
from edge_agent.telemetry.device_metric_table import DEVICE_ROWS
from edge_agent.telemetry.metric_row import Label, MetricKind, MetricRow, closed_label
from edge_agent.telemetry.outcome import Endpoint, Outcome, RejectReason
from edge_agent.telemetry.remote_write_metric_table import REMOTE_WRITE_ROWS

PREFIX = "edge_agent_"
# Methods that routes here may have; any other counts as "other", or a client could make series at will.
HTTP_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OTHER_METHOD = "other"

COUNTER, GAUGE, HISTOGRAM = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM
# Has one value, the configured alias of the model; whoever builds the metrics gives it.
MODEL = Label("model")
THERMAL_STATE = closed_label("thermal_state", ThermalState)
MODEL_FACTS = (
    "architecture",
    "quantization",
    "parameters",
    "context_length",
    "batch_size",
    "gpu_layers",
    "file_sha256",
)

REQUEST_ROWS = (
    MetricRow(
        "requests_total",
        COUNTER,
        (MODEL, closed_label("endpoint", Endpoint), closed_label("outcome", Outcome)),
        "Requests for generation by the way they ended; rejected is the sum of requests_rejected_total, "
        "client_error any other 4xx.",
    ),
    MetricRow(
        "requests_finished_total",
        COUNTER,
        (MODEL, closed_label("finish_reason", FinishReason)),
        "Sequences that ended, by reason; those that the engine took with it when it died are errors.",
    ),
    MetricRow(
        "requests_rejected_total",
        COUNTER,
        (MODEL, closed_label("reason", RejectReason)),
        "Requests for generation turned away before their first token.",
    ),
    MetricRow("requests_running", GAUGE, (MODEL,), "Requests being answered now."),
    MetricRow("requests_waiting", GAUGE, (MODEL,), "Requests that wait to be scheduled now."),
    MetricRow(
        "request_duration_seconds",
        HISTOGRAM,
        (MODEL,),
        "Arrival at the API to last token, of sequences that got a token.",
        edges.ANSWER_SECONDS,
    ),
    MetricRow(
        "time_to_first_token_seconds",
        HISTOGRAM,
        (MODEL,),
        "Arrival at the API to the end of the step that sampled the first token; queueing and tokenising are inside.",
        edges.FIRST_TOKEN_SECONDS,
    ),
    MetricRow(
        "inter_token_latency_seconds",
        HISTOGRAM,
        (MODEL,),
        "Gap of successive tokens of one sequence, one observation for every token after the first; tokens accepted "
        "in one step share its gap evenly.",
        edges.TOKEN_GAP_SECONDS,
    ),
    MetricRow(
        "time_per_output_token_seconds",
        HISTOGRAM,
        (MODEL,),
        "First to last token divided by the tokens after the first, one observation a sequence of two tokens or more.",
        edges.TOKEN_GAP_SECONDS,
    ),
    MetricRow(
        "request_queue_seconds",
        HISTOGRAM,
        (MODEL,),
        "Arrival at the API to first scheduled, of sequences that got a token.",
        edges.FIRST_TOKEN_SECONDS,
    ),
    MetricRow(
        "request_prefill_seconds",
        HISTOGRAM,
        (MODEL,),
        "First scheduled to first token.",
        edges.FIRST_TOKEN_SECONDS,
    ),
    MetricRow(
        "request_decode_seconds",
        HISTOGRAM,
        (MODEL,),
        "First token to last token.",
        edges.ANSWER_SECONDS,
    ),
    MetricRow(
        "request_prompt_tokens",
        HISTOGRAM,
        (MODEL,),
        "Tokens of the prompt, cached ones included, of sequences that got a token.",
        edges.PROMPT_TOKENS,
    ),
    MetricRow(
        "request_generated_tokens",
        HISTOGRAM,
        (MODEL,),
        "Tokens generated, of sequences that got a token.",
        edges.GENERATED_TOKENS,
    ),
    MetricRow(
        "prompt_tokens_total",
        COUNTER,
        (MODEL, Label("source", ("computed", "memory", "disk"))),
        "Prompt tokens by where they came from: computed, or found in a prefix held in memory or on disk.",
    ),
    MetricRow(
        "generated_tokens_total",
        COUNTER,
        (MODEL, THERMAL_STATE),
        "Tokens generated, by the board's state when the step was counted.",
    ),
)

STEP_ROWS = (
    MetricRow(
        "decode_seconds_total",
        COUNTER,
        (MODEL, THERMAL_STATE),
        "Time of steps that only decode; with their number and tokens it gives the board's decode speed.",
    ),
    MetricRow("decode_steps_total", COUNTER, (MODEL, THERMAL_STATE), "Steps that only decode."),
    MetricRow(
        "decode_step_tokens_total", COUNTER, (MODEL, THERMAL_STATE), "Tokens generated by steps that only decode."
    ),
    MetricRow(
        "prefill_seconds_total",
        COUNTER,
        (MODEL, THERMAL_STATE),
        "Time of all other steps: those with prompt rows in them.",
    ),
    MetricRow(
        "step_seconds", HISTOGRAM, (MODEL, closed_label("phase", Phase)), "Time of one step.", edges.STEP_SECONDS
    ),
    MetricRow(
        "step_tokens",
        HISTOGRAM,
        (MODEL,),
        "Rows of one step; a prompt token computed again is a row again, not a prompt token again.",
        edges.STEP_ROWS,
    ),
    MetricRow(
        "draft_tokens_total",
        COUNTER,
        (MODEL, Label("result", ("accepted", "rejected"))),
        "Drafted tokens, by what verification said.",
    ),
    MetricRow("prefix_cache_queried_tokens_total", COUNTER, (MODEL,), "Prompt tokens looked up in the prefix cache."),
    MetricRow("prefix_cache_hit_tokens_total", COUNTER, (MODEL,), "Prompt tokens found in the prefix cache."),
    MetricRow("prefix_cache_evicted_tokens_total", COUNTER, (MODEL,), "Tokens evicted from the prefix cache."),
    MetricRow("kv_cells_used", GAUGE, (MODEL,), "KV cells of running sequences."),
    MetricRow("kv_cells_cached", GAUGE, (MODEL,), "KV cells held for reuse only."),
    MetricRow("kv_cells_capacity", GAUGE, (MODEL,), "All KV cells."),
    MetricRow(
        "model_info",
        GAUGE,
        (MODEL, *(Label(fact) for fact in MODEL_FACTS)),
        "Always 1; its labels say which model is loaded and how. Appears with the model.",
    ),
    MetricRow("model_load_seconds", GAUGE, (MODEL,), "How long the last load took."),
    MetricRow("model_size_bytes", GAUGE, (MODEL,), "Size of the loaded model."),
)

SERVICE_ROWS = (
    MetricRow("engine_up", GAUGE, (), "1 while the model is loaded and the engine reports, else 0."),
    MetricRow(
        "engine_restarts_total",
        COUNTER,
        (closed_label("cause", EndCause),),
        "Engine processes that ended unasked; load_failed also counts a file refused before loading.",
    ),
    MetricRow(
        "engine_heartbeat_timestamp_seconds", GAUGE, (), "When the engine last ended a step or said it was idle."
    ),
    MetricRow("engine_resident_memory_bytes", GAUGE, (), "Resident memory of the engine process."),
    MetricRow(
        "engine_private_memory_bytes",
        GAUGE,
        (),
        "Resident memory of the engine process without the mapped model file.",
    ),
    MetricRow("engine_cpu_seconds_total", COUNTER, (), "CPU time of all engine processes so far."),
    MetricRow(
        "http_requests_total",
        COUNTER,
        (Label("route"), Label("method", (*HTTP_METHODS, OTHER_METHOD)), Label("code")),
        "HTTP requests answered, by route template, method and status; series appear on first use.",
    ),
    MetricRow("http_requests_in_flight", GAUGE, (), "HTTP requests being answered now."),
    MetricRow(
        "build_info",
        GAUGE,
        (Label("version"), Label("python"), Label("llama_cpp")),
        "Always 1; its labels are the versions of edge-agent, Python and llama-cpp-python.",
    ),
    MetricRow(
        "event_loop_lag_seconds",
        HISTOGRAM,
        (),
        "How late the agent's event loop wakes, measured once a second.",
        edges.LOOP_LAG_SECONDS,
    ),
)

METRIC_TABLE = REQUEST_ROWS + STEP_ROWS + SERVICE_ROWS + REMOTE_WRITE_ROWS
ALL_ROWS = METRIC_TABLE + DEVICE_ROWS
