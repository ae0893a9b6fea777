"""`edge-agent bench` as a user runs it, with the real engine and the small model."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_agent.cli.bench import bench
from edge_agent.cli.context import CommandContext
from edge_agent.errors import ModelFileError, ModelNotFoundError
from edge_agent.models.digest_record import compute_digest
from tests.engine_client.conftest import child_pids

SMALL = {"EDGE_AGENT_SCHEDULER__MAX_SEQUENCES": "2", "EDGE_AGENT_MODEL__CONTEXT_LENGTH": "512"}
# Of all settings only the micro batch is left to be tuned.
ONE_CHANGE = {
    **SMALL,
    "EDGE_AGENT_MODEL__KV_CACHE_TYPE": "f16",
    "EDGE_AGENT_MODEL__FLASH_ATTENTION": "true",
    "EDGE_AGENT_MODEL__REPACK": "true",
    "EDGE_AGENT_MODEL__THREADS": "2",
}


def run(state_dir: Path, *arguments: str, **environ: str) -> Result:
    variables = {**os.environ, "EDGE_AGENT_STATE_DIR": str(state_dir), **environ}
    return CliRunner().invoke(bench, list(arguments), obj=CommandContext(environ=variables))


def output(state_dir: Path, *arguments: str, **environ: str) -> str:
    result = run(state_dir, *arguments, **environ)
    assert result.exception is None, result.exception
    return result.stdout


def test_the_bench_measures_this_board(tmp_path: Path, smollm2_path: Path) -> None:
    report = json.loads(output(tmp_path, "--json", "--seconds", "1", "--model", str(smollm2_path), **SMALL))
    assert (report["model"], report["facts"]["quantization"]) == ("SmolLM2-135M-Instruct.Q4_1", "Q4_1")
    assert [decode["num_sequences"] for decode in report["speeds"]["decode"]] == [1, 2]
    assert all(decode["tokens_per_second"] > 0 for decode in report["speeds"]["decode"])
    assert report["speeds"]["prefill_tokens_per_second"] > 0
    assert report["speeds"]["num_first_token_prompt_tokens"] == 128
    assert report["speeds"]["time_to_first_token_seconds"] > 0
    assert 50e6 < report["usage"]["private_bytes"] <= report["usage"]["resident_bytes"] < 1e9
    expected_ceiling = report["bandwidth_bytes_per_second"] / report["facts"]["size_bytes"]
    assert report["ceiling_tokens_per_second"] == pytest.approx(expected_ceiling)
    assert report["is_tuned"] is False
    assert child_pids() == set()


def test_tuning_keeps_a_choice_that_the_bench_then_has(tmp_path: Path, smollm2_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.symlink_to(smollm2_path)
    table = output(tmp_path, "--tune", "--seconds", "1", "--model", str(model), **ONE_CHANGE)
    lines = table.splitlines()
    assert lines[0].split() == ["CHANGE", "PREFILL", "DECODE", "INSTEAD", "OF", "GAIN"]
    assert lines[1].startswith("micro batch 128")
    assert lines[-2].startswith("choice: threads 2, prefill threads 2, KV f16, flash attention on, micro batch ")
    assert lines[-1].startswith("why: changes measured: ")
    (record,) = (tmp_path / "tuning").iterdir()
    kept = json.loads(record.read_text())
    assert kept["key"]["model_sha256"] == compute_digest(smollm2_path)
    assert kept["settings"]["repack"] is True
    report = json.loads(output(tmp_path, "--json", "--seconds", "1", "--model", str(model), **ONE_CHANGE))
    assert (report["is_tuned"], report["settings"]) == (True, kept["settings"])
    assert child_pids() == set()


def test_a_model_that_is_not_here_is_told_with_the_remedy(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert isinstance(result.exception, ModelNotFoundError)
    assert "edge-agent models pull smollm2-135m-instruct" in str(result.exception)


def test_a_file_that_is_no_model_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"not a model")
    result = run(tmp_path, "--model", str(tmp_path / "model.gguf"))
    assert isinstance(result.exception, ModelFileError)
    assert "cannot be used as a model" in str(result.exception)


@pytest.mark.parametrize("seconds", ["0", "-1", "1e9", "long"])
def test_a_time_that_makes_no_sense_is_refused(tmp_path: Path, seconds: str) -> None:
    result = run(tmp_path, "--seconds", seconds)
    assert result.exit_code == 2
    assert "--seconds" in result.stderr
