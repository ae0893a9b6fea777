"""The configuration's sections: frozen structs with every default, limit and one-line description in one place.

Built once by `config_file`, which reads file, environment and command line; a component receives its own section.
`edge-agent config example` is printed from these definitions.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

PositiveInt = Annotated[int, Meta(ge=1)]
Pin = Annotated[int, Meta(ge=0, le=64)]
# 128: a label value; longer ones make every series large.
InstanceName = Annotated[str, Meta(min_length=1, max_length=128)]
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
        Literal["auto", "f16", "q8_0"],
        Meta(description="Type of the KV cache; q8_0 halves its memory; auto takes what was measured to be best."),
    ] = "auto"
    flash_attention: Annotated[
        bool | None, Meta(description="Fused attention; null takes what was measured to be best. q8_0 needs it.")
    ] = None
    micro_batch_tokens: Annotated[
        int,
        Meta(ge=0, le=8192, description="Rows computed at a time; fewer need less memory. 0 takes what fits and pays."),
    ] = 0
    repack: Annotated[
        bool | None,
        Meta(description="Rearrange the weights for this CPU: a private copy of them. null: where it fits and pays."),
    ] = None
    threads: Annotated[
        int, Meta(ge=0, le=512, description="Threads that decode; 0 takes the machine's physical cores.")
    ] = 0
    threads_batch: Annotated[int, Meta(ge=0, le=512, description="Threads that prefill; 0 takes model.threads.")] = 0
    gpu_layers: Annotated[int, Meta(ge=-1, le=1000, description="Layers on the GPU; -1 all of them, 0 none.")] = -1
    mmap: Annotated[bool, Meta(description="Map the file instead of reading it whole.")] = True
    mlock: Annotated[bool, Meta(description="Keep the weights from being paged out (needs RLIMIT_MEMLOCK).")] = False
    memory_fit: Annotated[
        Literal["reduce", "refuse", "ignore"],
        Meta(
            description="If memory is too small: reduce the context too, refuse to load, or ignore it.",
        ),
    ] = "reduce"
    tune: Annotated[
        Literal["auto", "never"],
        Meta(description="Measure once, in the first idle minute, which settings are fastest here."),
    ] = "auto"
    tune_prefer: Annotated[
        Literal["balanced", "prefill", "decode"], Meta(description="Which speed the measured settings are to favour.")
    ] = "balanced"


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
    # 250: below, a small model's steps lose their efficient sizes; a Pi with a 4B model takes that for a token alone.
    target_inter_token_ms: Annotated[
        float,
        Meta(ge=10, le=60000, description="While most are being answered, prefill keeps steps within this."),
    ] = 250.0
    # 64 MiB: 2,900 tokens of the small default model, 450 of a 4B one, whose longer conversations stay in the KV cache.
    max_saved_prefix_bytes: Annotated[
        int,
        Meta(ge=0, le=64 * 1024**3, description="Memory for finished conversations kept outside the KV cache."),
    ] = 64 * 1024 * 1024
    # 512 MiB: twenty system prompts of 700 tokens for a small model, five for a 4B one; little beside a model file.
    max_disk_prefix_bytes: Annotated[
        int,
        Meta(ge=0, le=1024**4, description="Disk for long prefixes that come back, kept over restarts; 0 keeps none."),
    ] = 512 * 1024 * 1024
    max_draft_tokens: Annotated[
        int, Meta(ge=0, le=64, description="Most tokens guessed ahead from the text so far; 0 guesses none.")
    ] = 16


class ModelsSection(Section, frozen=True):
    """Where model files are kept."""

    dir: Annotated[str | None, Meta(description="Folder of the model files; null takes models/ in state_dir.")] = None


class DeviceSection(Section, frozen=True):
    """The board: what it is called, and where its sensors are read."""

    instance: Annotated[
        InstanceName | None,
        Meta(
            description="The device's name in every series; null makes one that stays, of the board's serial number.",
        ),
    ] = None
    root: Annotated[
        str, Meta(min_length=1, description="Root of the sys, proc and etc that sensors are read from.")
    ] = "/"
    interval_seconds: Annotated[float, Meta(ge=0.2, le=60, description="How often the sensors are read.")] = 1.0


class GpioSection(Section, frozen=True):
    """A status LED: lit when ready, winking while the board is held back, blinking while loading, fast in trouble."""

    status_led_pin: Annotated[
        Pin | None, Meta(description="The LED's GPIO, by Broadcom's number; null: there is none.")
    ] = None


class RemoteWriteEndpoint(Section, frozen=True):
    """A receiver of samples by Prometheus remote_write 1.0."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s@]+$", max_length=2048)]
    bearer_token_file: str | None = None
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    timeout_seconds: Annotated[float, Meta(gt=0, le=300)] = 30.0


class RemoteWriteSection(Section, frozen=True):
    """Push of all series, for devices that cannot be scraped."""

    interval_seconds: Annotated[float, Meta(ge=1, le=3600, description="How often all series are sampled.")] = 15.0
    # 100,000: one hour of 400 series at 15 s; 2 MB compressed.
    max_queue_samples: Annotated[
        int,
        Meta(
            ge=1000,
            le=10_000_000,
            description="Samples that wait while a receiver is away; the oldest are dropped beyond it.",
        ),
    ] = 100_000
    endpoints: Annotated[
        tuple[RemoteWriteEndpoint, ...],
        Meta(
            max_length=4,
            description="Receivers, each {url, bearer_token_file, username, password_file, ca_file, timeout_seconds}.",
        ),
    ] = ()


class TelemetrySection(Section, frozen=True):
    """Where `/metrics` is served, and where its series are pushed."""

    host: Annotated[str, Meta(description="Address of /metrics when telemetry.port is set.")] = "127.0.0.1"
    port: Annotated[
        Port | None, Meta(description="Serve /metrics on this port alone; null serves it beside the API.")
    ] = None
    external_labels: Annotated[
        dict[str, str],
        Meta(max_length=16, description="Labels for every pushed series, such as {site: lab}; a scrape adds its own."),
    ] = {}
    remote_write: RemoteWriteSection = RemoteWriteSection()


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
    device: DeviceSection = DeviceSection()
    gpio: GpioSection = GpioSection()
    telemetry: TelemetrySection = TelemetrySection()
    log: LogSection = LogSection()
