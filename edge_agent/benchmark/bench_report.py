"""The bench's whole result: as data for JSON, and as an aligned table for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from edge_agent.benchmark.board_speeds import BoardSpeeds, DecodeSpeed
from edge_agent.models.byte_size import spell_bytes
from edge_agent.protocol import EngineUsage, ModelFacts
from edge_agent.tuned_settings import TunedSettings

Row = tuple[str, str, str]


class Heat(Struct, frozen=True, kw_only=True):
    """The sensor that was hottest afterwards."""

    sensor: str
    before_celsius: float
    after_celsius: float


class BenchReport(Struct, frozen=True, kw_only=True):
    """One model on one board. None: this machine does not tell."""

    model: str
    facts: ModelFacts
    cpu: str
    settings: TunedSettings
    is_tuned: bool
    speeds: BoardSpeeds
    usage: EngineUsage
    bandwidth_bytes_per_second: float | None
    # Answers to one user alone can be no faster: every token reads all weights.
    ceiling_tokens_per_second: float | None
    heat: Heat | None
    # By heat, or for want of power, at any time while it was measured.
    is_held_back: bool


def ceiling(*, bandwidth_bytes_per_second: float | None, weight_bytes: int) -> float | None:
    """Tokens a second at which the weights take all of the memory's bandwidth."""
    if bandwidth_bytes_per_second is None or weight_bytes == 0:
        return None
    return bandwidth_bytes_per_second / weight_bytes


def bench_table(report: BenchReport) -> str:
    """Three columns: what, of what, how much."""
    return aligned(
        [
            *_subject_rows(report),
            *_speed_rows(report.speeds),
            *_memory_rows(report),
            *_heat_rows(report),
        ]
    )


def spell_settings(settings: TunedSettings) -> str:
    """The settings in one line."""
    return ", ".join(
        [
            f"threads {settings.num_threads}",
            f"prefill threads {settings.num_threads_batch}",
            f"KV {settings.kv_cache_type}",
            f"flash attention {_on_off(is_on=settings.flash_attention)}",
            f"micro batch {settings.micro_batch_tokens}",
            f"repack {_on_off(is_on=settings.repack)}",
        ]
    )


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces between them; all rows have the same number of cells."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _subject_rows(report: BenchReport) -> list[Row]:
    facts = report.facts
    weights = f"{facts.architecture} {facts.quantization}, {spell_bytes(facts.size_bytes)} of weights"
    return [
        ("model", report.model, weights),
        ("board", report.cpu, f"llama-cpp-python {facts.llama_cpp_version}"),
        ("settings", "measured to be best" if report.is_tuned else "not tuned", spell_settings(report.settings)),
    ]


def _speed_rows(speeds: BoardSpeeds) -> list[Row]:
    first_token = f"a prompt of {speeds.num_first_token_prompt_tokens} tokens, none cached"
    return [
        ("prefill", f"a prompt of {speeds.num_prefill_tokens} tokens", _rate(speeds.prefill_tokens_per_second)),
        *(("decode", f"{decode.num_sequences} at once", _together(decode)) for decode in speeds.decode),
        ("first token", first_token, f"{speeds.time_to_first_token_seconds:.2f} s"),
    ]


def _memory_rows(report: BenchReport) -> list[Row]:
    usage, bandwidth = report.usage, report.bandwidth_bytes_per_second
    private = f"{spell_bytes(usage.private_bytes)} of it private"
    rows = [("memory", f"{spell_bytes(usage.resident_bytes)} resident", private)]
    if bandwidth is None or report.ceiling_tokens_per_second is None:
        return rows
    single = next((d.tokens_per_second for d in report.speeds.decode if d.num_sequences == 1), 0.0)
    share = single / report.ceiling_tokens_per_second
    limit = f"{_rate(report.ceiling_tokens_per_second)} at most for 1 sequence; {share:.0%} of it reached"
    return [*rows, ("bandwidth", f"{spell_bytes(int(bandwidth))}/s", limit)]


def _heat_rows(report: BenchReport) -> list[Row]:
    rows: list[Row] = []
    if report.heat is not None:
        heat = report.heat
        change = f"{heat.before_celsius:.1f} \N{DEGREE SIGN}C before, {heat.after_celsius:.1f} \N{DEGREE SIGN}C after"
        rows.append(("temperature", heat.sensor, change))
    if report.is_held_back:
        rows.append(("held back", "throttled meanwhile", "cooled, or on a stronger supply, the board may be faster"))
    return rows


def _together(decode: DecodeSpeed) -> str:
    rate = _rate(decode.tokens_per_second)
    if decode.num_sequences == 1:
        return rate
    return f"{rate} together, {decode.tokens_per_second / decode.num_sequences:.1f} each"


def _rate(tokens_per_second: float) -> str:
    return f"{tokens_per_second:.1f} tokens/s"


def _on_off(*, is_on: bool) -> str:
    return "on" if is_on else "off"
