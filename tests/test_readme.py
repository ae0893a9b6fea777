"""The README is true: its commands run, and its table is the registry."""

import json
import re
import subprocess
import sys
from pathlib import Path

from edge_agent.telemetry.metric_table import ALL_ROWS
from tests.e2e.product import running_product

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
MAKEFILE = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_the_quick_starts_commands_run_as_they_stand(smollm2_path: Path) -> None:
    curls = sorted({block for block in blocks("bash") if block.startswith("curl")})
    (program,) = blocks("python")
    with running_product(model=smollm2_path) as product:
        product.wait_until_ready()

        def here(text: str) -> str:
            assert "localhost:8080" in text
            return text.replace("localhost:8080", f"127.0.0.1:{product.port}")

        streamed, scraped, status = (
            subprocess.run(["bash", "-euc", here(curl)], capture_output=True, text=True, check=True).stdout
            for curl in curls
        )
        answered = subprocess.run(
            [sys.executable, "-c", here(program)], capture_output=True, text=True, check=True
        ).stdout
    assert streamed.rstrip().endswith("data: [DONE]")
    assert "edge_agent_time_to_first_token_seconds_count" in scraped
    assert json.loads(status)["engine"]["state"] == "ready"
    assert len(answered) > 20


def test_the_configuration_commands_run_as_they_stand(tmp_path: Path) -> None:
    (commands,) = [block for block in blocks("bash") if "config example" in block]
    commands = commands.replace(".venv/bin/edge-agent", f"{sys.executable} -m edge_agent")
    run = subprocess.run(
        ["bash", "-euc", commands], cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "edge-agent.yaml").stat().st_size > 1000


def test_every_make_target_that_is_mentioned_exists() -> None:
    mentioned = set(re.findall(r"\bmake ([a-z]+)", "\n".join([*blocks("bash"), *re.findall(r"`([^`]*)`", README)])))
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE))
    assert mentioned
    assert mentioned <= targets


def test_the_metric_table_is_the_registry() -> None:
    section = README.split("\n## Metrics\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) ?\|$", section, flags=re.MULTILINE)
    told = [(name, kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels in rows]
    assert told == [(row.name, row.kind.value, [label.name for label in row.labels]) for row in ALL_ROWS]


def test_every_query_names_metrics_that_exist() -> None:
    names = {f"edge_agent_{row.name}" for row in ALL_ROWS}
    (queries,) = blocks("promql")
    asked = set(re.findall(r"edge_agent_\w+", queries))
    assert asked
    assert {re.sub(r"_bucket$", "", name) for name in asked} <= names


def test_every_linked_file_exists() -> None:
    root = Path(__file__).parents[1]
    links = re.findall(r"\]\((?!http|#)([^)#]+)", README)
    assert links
    assert [link for link in links if not (root / link).exists()] == []
