"""The configuration's sections: frozen structs with every default, limit and one-line description in one place.

Built once by `config_file`, which reads file, environment and command line; a component receives its own section.
`edge-agent config example` is printed from these definitions.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

PositiveInt = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=0, le=65535)]


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all sections: an unknown key is an error."""


class ServerSection(Section, frozen=True):
    """The address that clients talk to, and what a client may ask for."""

    host: Annotated[str, Meta(description="Address to listen on; beyond loopback needs allow_unauthenticated.")] = (
        "127.0.0.1"
    )
    port: Annotated[Port, Meta(description="TCP port; 0 lets the system choose one.")] = 8080
    allow_unauthenticated: Annotated[
        bool, Meta(description="Serve anyone who can reach the address, when it is not a loopback address.")
    ] = False
    drain_seconds: Annotated[
        float, Meta(ge=0, le=3600, description="How long running answers may go on after SIGTERM.")
    ] = 30.0
    keepalive_seconds: Annotated[
        float, Meta(gt=0, le=600, description="A stream with nothing to say sends an SSE comment this often.")
    ] = 10.0
    # 4 MiB: about a million tokens of text, far above any context here. Larger bodies get 413.
    max_body_bytes: Annotated[int, Meta(ge=1024, le=32 * 1024 * 1024, description="Largest request body.")] = (
        4 * 1024 * 1024
    )
    # 1,024: a long conversation; the template's render time grows with it.
    max_messages: Annotated[int, Meta(ge=1, le=65536, description="Most messages in one conversation.")] = 1024
    max_stop_strings: Annotated[int, Meta(ge=0, le=256, description="Most stop strings in one request.")] = 16
    max_stop_characters: Annotated[int, Meta(ge=1, le=4096, description="Longest stop string.")] = 256
    max_logit_bias: Annotated[int, Meta(ge=0, le=65536, description="Most tokens in one logit_bias.")] = 1024


class ModelSection(Section, frozen=True):
    """Which GGUF is loaded, and how."""

    name: Annotated[
        str, Meta(min_length=1, description="Catalog name (see edge-agent models list) or alias of model.path.")
    ] = "smollm2-135m-instruct"
    path: Annotated[str | None, Meta(description="A GGUF file; null takes the catalog's file of model.name.")] = None
    context_length: Annotated[
        int, Meta(ge=256, le=1048576, description="Cells of the KV cache, in tokens, shared by all sequences.")
    ] = 4096
    kv_cache_type: Annotated[
        Literal["f16", "q8_0"], Meta(description="Type of the KV cache; q8_0 halves its memory.")
    ] = "f16"
    threads: Annotated[
        int, Meta(ge=0, le=512, description="Threads that decode; 0 takes the machine's physical cores.")
    ] = 0
    threads_batch: Annotated[int, Meta(ge=0, le=512, description="Threads that prefill; 0 takes model.threads.")] = 0
    gpu_layers: Annotated[int, Meta(ge=-1, le=1000, description="Layers on the GPU; -1 all of them, 0 none.")] = -1
    mmap: Annotated[bool, Meta(description="Map the file instead of reading it whole.")] = True
    mlock: Annotated[bool, Meta(description="Keep the weights from being paged out (needs RLIMIT_MEMLOCK).")] = False


class SchedulerSection(Section, frozen=True):
    """How many are answered at once, and how large a step may be."""

    max_sequences: Annotated[int, Meta(ge=1, le=64, description="Sequences answered at once.")] = 4
    queue_size: Annotated[
        int, Meta(ge=0, le=10000, description="Requests that may wait; one more gets 429 with Retry-After.")
    ] = 32
    max_batch_tokens: Annotated[int, Meta(ge=32, le=8192, description="Most rows of one step.")] = 512
    max_step_seconds: Annotated[
        float, Meta(ge=0.1, le=60, description="No step is planned to take longer than this.")
    ] = 5.0
    # 400: below, a small model's steps lose their efficient sizes; a Pi with a 4B model takes 250 ms for a token alone.
    target_inter_token_ms: Annotated[
        float,
        Meta(ge=10, le=60000, description="While most are being answered, prefill keeps steps within this."),
    ] = 400.0
    # 64 MiB: 2,900 tokens of the small default model, 450 of a 4B one, whose longer conversations stay in the KV cache.
    max_saved_prefix_bytes: Annotated[
        int,
        Meta(ge=0, le=64 * 1024**3, description="Memory for finished conversations kept outside the KV cache."),
    ] = 64 * 1024 * 1024


class ModelsSection(Section, frozen=True):
    """Where model files are kept."""

    dir: Annotated[str | None, Meta(description="Folder of the model files; null takes models/ in state_dir.")] = None


class TelemetrySection(Section, frozen=True):
    """Where `/metrics` is served."""

    host: Annotated[str, Meta(description="Address of /metrics when telemetry.port is set.")] = "127.0.0.1"
    port: Annotated[
        Port | None, Meta(description="Serve /metrics on this port alone; null serves it beside the API.")
    ] = None


class LogSection(Section, frozen=True):
    """What is written to standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severe lines that are written.")
    ] = "info"
    format: Annotated[Literal["plain", "json"], Meta(description="One line of text or of JSON an event.")] = "plain"


class Config(Section, frozen=True):
    """The whole file."""

    state_dir: Annotated[
        str | None,
        Meta(description="Folder of all state; null takes $STATE_DIRECTORY, else ~/.local/state/edge-agent."),
    ] = None
    server: ServerSection = ServerSection()
    model: ModelSection = ModelSection()
    scheduler: SchedulerSection = SchedulerSection()
    models: ModelsSection = ModelsSection()
    telemetry: TelemetrySection = TelemetrySection()
    log: LogSection = LogSection()
