"""The dashboard about requests and tokens: what users of the model get, and where their time goes."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.source import frame
from dashboards.source.panels import (
    Limit,
    Query,
    TimeSeries,
    heat_map,
    info_table,
    limited,
    scarce,
    stacked,
    stat,
    time_series,
)
from dashboards.source.promql import (
    buckets,
    gauge,
    increase,
    quantile,
    rate,
    rate_of_count,
    rate_of_sum,
    total,
)

SERVER_ERRORS = 'outcome="server_error"'
REJECTED = 'outcome="rejected"'


def inference() -> Dashboard:
    """The whole of it."""
    return frame.framed(
        "Inference",
        uid="edge-agent-inference",
        description=f"Requests, latencies, tokens and the engine of edge-agent devices. {frame.INTERVAL_HINT}",
        variables=[frame.data_source(), frame.job(), frame.instance(), frame.model()],
        rows=[
            ("Now", NOW),
            ("Requests", REQUESTS),
            ("Latency", LATENCY),
            ("Tokens", TOKENS),
            ("Steps", STEPS),
            ("Engine and service", ENGINE),
        ],
    )


def quantiles(title: str, metric: str, *, description: str, unit: str, width: int = 8) -> TimeSeries:
    """Median, 95th and 99th percentile of a histogram over the chosen devices."""
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    queries = [Query(quantile(share, metric), name) for name, share in shares.items()]
    return time_series(title, *queries, description=description, unit=unit, width=width)


def ratio(part: str, whole: str) -> str:
    """The sum of the one by the sum of the other; NaN without traffic."""
    return f"{total(part)} / {total(whole)}"


NOW = (
    scarce(
        stat(
            "Engines up",
            Query(f"{total(gauge('engine_up'))} / count({gauge('engine_up')})", "up"),
            description="Share of the devices whose model is loaded and whose engine reports. Below 100 %: see Engine "
            "restarts for the cause, and the device's log for the engine's last lines.",
            unit="percentunit",
            limits=(Limit(0.5, "orange"), Limit(1, "green")),
        )
    ),
    stat(
        "Requests",
        Query(total(rate("requests_total")), "requests/s"),
        description="Requests for generation that ended, in a second, whatever their outcome.",
        unit="reqps",
    ),
    stat(
        "Server errors",
        Query(ratio(rate("requests_total", SERVER_ERRORS), rate("requests_total")), "server errors"),
        description="Share of requests that ended with our fault. Above 0: look at Engine restarts, then at the log.",
        unit="percentunit",
        limits=(Limit(0.01, "orange"), Limit(0.05, "red")),
    ),
    stat(
        "Time to first token, p95",
        Query(quantile(0.95, "time_to_first_token_seconds"), "p95"),
        description="19 of 20 answers began within this time, queueing included. Above 10 s the alert "
        "EdgeAgentSlowFirstToken is near: see Where the time goes.",
        unit="s",
        limits=(Limit(10, "orange"), Limit(30, "red")),
    ),
    stat(
        "Gap between tokens, p95",
        Query(quantile(0.95, "inter_token_latency_seconds"), "p95"),
        description="19 of 20 tokens came within this time of the one before. Above 0.5 s a reader waits for words: "
        "lower scheduler.max_sequences, or take a smaller model.",
        unit="s",
        limits=(Limit(0.5, "orange"), Limit(1, "red")),
    ),
    stat(
        "Generated tokens/s",
        Query(total(rate("generated_tokens_total")), "tokens/s"),
        description="Tokens that all chosen devices put out in a second.",
        unit="short",
    ),
)

REQUESTS = (
    stacked(
        time_series(
            "Requests by outcome",
            Query(total(rate("requests_total"), "outcome"), "{{outcome}}"),
            description="How requests ended. rejected: refused before any token, see Rejections. client_error: wrong "
            "requests. cancelled: the client left. server_error: our fault, see Engine restarts.",
            unit="reqps",
        )
    ),
    time_series(
        "Error and rejection rate",
        Query(ratio(rate("requests_total", SERVER_ERRORS), rate("requests_total")), "server errors"),
        Query(ratio(rate("requests_total", REJECTED), rate("requests_total")), "rejected"),
        description="Shares of all requests; empty without traffic. Rising rejections mean more load than the device "
        "answers, rising errors an engine that ends.",
        unit="percentunit",
    ),
    stacked(
        time_series(
            "Rejections by reason",
            Query(total(rate("requests_rejected_total"), "reason"), "{{reason}}"),
            description="queue_full: too many at once, spread them or add a device. context_length: prompts longer "
            "than model.context_length. engine_down: see Engine restarts.",
            unit="reqps",
        )
    ),
    time_series(
        "Running and waiting",
        Query(total(gauge("requests_running"), "instance"), "{{instance}} running"),
        Query(total(gauge("requests_waiting"), "instance"), "{{instance}} waiting"),
        description="Requests being answered, and in the queue. A queue that never empties: the device gets more than "
        "it can answer.",
        unit="short",
    ),
    stacked(
        time_series(
            "Finished sequences by reason",
            Query(total(rate("requests_finished_total"), "finish_reason"), "{{finish_reason}}"),
            description="length: cut by max_tokens or the context's end; many of them mean a max_tokens that is too "
            "small. error: lost with the engine.",
            unit="reqps",
        )
    ),
    stacked(
        time_series(
            "HTTP answers by status",
            Query(total(rate("http_requests_total"), "code"), "{{code}}"),
            description="All HTTP requests, scrapes and pages included. 429: the queue is full; 503: the engine is "
            "down or loads.",
            unit="reqps",
        )
    ),
)

LATENCY = (
    quantiles(
        "Time to first token",
        "time_to_first_token_seconds",
        description="Arrival to first token. When it grows while tokens come as fast as ever, requests wait: see Where "
        "the time goes.",
        unit="s",
    ),
    quantiles(
        "Gap between tokens",
        "inter_token_latency_seconds",
        description="Time between successive tokens of one answer. High p99 with low p50: long prompts get in between; "
        "lower scheduler.target_inter_token_ms.",
        unit="s",
    ),
    quantiles(
        "Whole answers",
        "request_duration_seconds",
        description="Arrival to last token. Depends on how long the answers are: see Generated tokens of an answer.",
        unit="s",
    ),
    stacked(
        time_series(
            "Where the time goes",
            *(
                Query(
                    f"{total(rate_of_sum(f'request_{part}_seconds'))}"
                    f" / {total(rate_of_count(f'request_{part}_seconds'))}",
                    part,
                )
                for part in ("queue", "prefill", "decode")
            ),
            description="Mean times of a request's three parts. Much queue: too many at once. Much prefill: long "
            "prompts, see Prefix cache hits. Much decode: long answers or a slow board.",
            unit="s",
        )
    ),
    time_series(
        "Time to first token by device, p95",
        Query(quantile(0.95, "time_to_first_token_seconds", "instance"), "{{instance}}"),
        description="Finds the device that is slower than its siblings; then compare the two on the Board dashboard.",
        unit="s",
    ),
    heat_map(
        "Spread of time to first token",
        Query(buckets("time_to_first_token_seconds"), "{{le}}"),
        description="Two bands mean two kinds of requests: usually those with and without a cached prefix.",
        unit="s",
    ),
    quantiles(
        "Time per output token",
        "time_per_output_token_seconds",
        width=24,
        description="By answer: first to last token, divided by the tokens after the first. Its inverse is the speed "
        "that a user sees.",
        unit="s",
    ),
)

TOKENS = (
    time_series(
        "Generated tokens/s by device",
        Query(total(rate("generated_tokens_total"), "instance"), "{{instance}}"),
        description="Tokens out, by device. It falls with traffic too; the board's own speed is on the Board "
        "dashboard, as Decode speed by thermal state.",
        unit="short",
    ),
    stacked(
        time_series(
            "Prompt tokens/s by source",
            Query(total(rate("prompt_tokens_total"), "source"), "{{source}}"),
            description="Where prompt tokens came from: computed, or a held prefix. Only computed ones cost time.",
            unit="short",
        )
    ),
    time_series(
        "Prefix cache hits",
        Query(
            ratio(rate("prefix_cache_hit_tokens_total"), rate("prefix_cache_queried_tokens_total")),
            "hits",
        ),
        description="Share of prompt tokens that did not have to be computed. Low with a common system prompt: is "
        "something that changes, such as the time, at its beginning?",
        unit="percentunit",
    ),
    limited(
        time_series(
            "KV cells in use",
            Query(f"{total(gauge('kv_cells_used'))} / {total(gauge('kv_cells_capacity'))}", "running sequences"),
            Query(f"{total(gauge('kv_cells_cached'))} / {total(gauge('kv_cells_capacity'))}", "held for reuse"),
            description="Shares of the KV cache. Running sequences near 100 %: requests wait for cells; raise "
            "model.context_length, or take kv_cache_type q8_0.",
            unit="percentunit",
            highest=1,
        ),
        Limit(0.9, "orange"),
    ),
    time_series(
        "KV cells by device",
        Query(total(gauge("kv_cells_used"), "instance"), "{{instance}} used"),
        Query(total(gauge("kv_cells_cached"), "instance"), "{{instance}} cached"),
        Query(total(gauge("kv_cells_capacity"), "instance"), "{{instance}} capacity"),
        description="Cells, which are tokens, of the one cache that all sequences of a device share.",
        unit="short",
    ),
    time_series(
        "Tokens evicted from the prefix cache",
        Query(total(rate("prefix_cache_evicted_tokens_total"), "instance"), "{{instance}}"),
        description="Held tokens that had to make room, in a second. Steady eviction with few hits: the cache is too "
        "small for the conversations that take turns.",
        unit="short",
    ),
    quantiles(
        "Tokens of a prompt",
        "request_prompt_tokens",
        description="How long prompts are, cached part included. Explains Time to first token.",
        unit="short",
    ),
    quantiles(
        "Generated tokens of an answer",
        "request_generated_tokens",
        description="How long answers are. Explains Whole answers.",
        unit="short",
    ),
    stacked(
        time_series(
            "Drafted tokens/s",
            Query(total(rate("draft_tokens_total"), "result"), "{{result}}"),
            description="Tokens proposed ahead, by what their check said. Accepted ones came at almost no cost.",
            unit="short",
        )
    ),
)

STEPS = (
    stacked(
        time_series(
            "Time spent in steps",
            Query(total(rate_of_sum("step_seconds"), "phase"), "{{phase}}"),
            description="Seconds of computing in a second, by what steps did; as many as there are devices is all "
            "there is. Much prefill: long prompts. mixed: both at once.",
            unit="s",
        )
    ),
    time_series(
        "Time of a step by phase, p95",
        Query(quantile(0.95, "step_seconds", "phase"), "{{phase}}"),
        description="Everyone who is being answered waits for a step. Above scheduler.target_inter_token_ms for mixed "
        "steps: the engine is still learning, or the board slows down.",
        unit="s",
    ),
    quantiles(
        "Rows of a step",
        "step_tokens",
        description="Tokens that one step computes. One an answer while only decoding; up to "
        "scheduler.max_batch_tokens with prompts.",
        unit="short",
    ),
)

ENGINE = (
    time_series(
        "Engine restarts",
        Query(total(increase("engine_restarts_total"), "instance", "cause"), "{{instance}} {{cause}}"),
        description="oom: smaller model, context or KV type. stall: storage that hangs. crash: report it with the "
        "log's last engine lines. load_failed: is the file whole?",
        unit="short",
    ),
    time_series(
        "Engine memory",
        Query(total(gauge("engine_resident_memory_bytes"), "instance"), "{{instance}} all"),
        Query(total(gauge("engine_private_memory_bytes"), "instance"), "{{instance}} without the mapped file"),
        description="All may shrink under pressure: then the model is read from storage again and again, and tokens "
        "slow down. What is left without the file cannot shrink.",
        unit="bytes",
    ),
    time_series(
        "Engine CPU",
        Query(total(rate("engine_cpu_seconds_total"), "instance"), "{{instance}}"),
        description="CPUs that the engine keeps busy. Below model.threads under load: it waits for memory or storage.",
        unit="short",
    ),
    time_series(
        "Age of the engine's last sign",
        Query(f"time() - {gauge('engine_heartbeat_timestamp_seconds')} > 0", "{{instance}}"),
        description="Since the last step or idle tick; an idle engine ticks each second. Grows while it loads or "
        "hangs; the agent ends one that hangs.",
        unit="s",
    ),
    time_series(
        "Event loop lag, p99",
        Query(quantile(0.99, "event_loop_lag_seconds", "instance"), "{{instance}}"),
        description="How late the agent's own loop wakes. Above 50 ms streams stutter: other programs take the CPU, or "
        "memory is short.",
        unit="s",
    ),
    time_series(
        "HTTP requests in flight",
        Query(total(gauge("http_requests_in_flight"), "instance"), "{{instance}}"),
        description="Open HTTP requests, streams included. More than run and wait: clients that hold connections open.",
        unit="short",
    ),
    info_table(
        "Models",
        gauge("model_info"),
        description="What is loaded where. Different file_sha256 under one name: a roll-out that did not reach all.",
        columns={
            "instance": "Instance",
            "model": "Model",
            "architecture": "Architecture",
            "quantization": "Quantization",
            "parameters": "Parameters",
            "context_length": "Context length",
            "batch_size": "Batch size",
            "gpu_layers": "GPU layers",
            "file_sha256": "SHA-256",
        },
    ),
    time_series(
        "Model load time",
        Query(total(gauge("model_load_seconds"), "instance", "model"), "{{instance}} {{model}}"),
        description="How long the last load took. Long ones: slow storage; an SSD on USB loads many times faster than "
        "an SD card.",
        unit="s",
        width=12,
    ),
    time_series(
        "Model size",
        Query(total(gauge("model_size_bytes"), "instance", "model"), "{{instance}} {{model}}"),
        description="Bytes of the loaded model. Should fit into the device's memory beside everything else.",
        unit="bytes",
        width=12,
    ),
)
