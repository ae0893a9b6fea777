"""What is written about the project, and the rules that its code keeps, are true."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import edge_agent

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "edge_agent"
SOURCES = sorted(PACKAGE.rglob("*.py"))
# A `make` that runs these tests hands its own flags to any `make` that they start.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}


def parse(source: Path) -> ast.Module:
    return ast.parse(source.read_text(encoding="utf-8"), filename=str(source))


def imported_modules(source: Path) -> set[str]:
    nodes = list(ast.walk(parse(source)))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def imported_names(source: Path) -> set[str]:
    nodes = ast.walk(parse(source))
    return {f"{n.module}.{a.name}" for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names}


def reads_attribute(source: Path, module: str, attribute: str) -> bool:
    """Whether the file says `module.attribute` or imports that name."""
    return f"{module}.{attribute}" in imported_names(source) or any(
        isinstance(node, ast.Attribute)
        and node.attr == attribute
        and isinstance(node.value, ast.Name)
        and node.value.id == module
        for node in ast.walk(parse(source))
    )


def module_name(source: Path) -> str:
    return ".".join(source.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- the code ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES, ids=module_name)
def test_no_module_is_longer_than_400_lines(source: Path) -> None:
    assert len(source.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("source", SOURCES, ids=module_name)
def test_no_function_is_longer_than_60_lines(source: Path) -> None:
    functions = [n for n in ast.walk(parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [f.name for f in functions if (f.end_lineno or 0) - f.lineno + 1 > 60] == []


@pytest.mark.parametrize("source", SOURCES, ids=module_name)
def test_no_module_imports_llama_cpp_except_one_of_the_engine(source: Path) -> None:
    is_imported = any(name.split(".")[0] == "llama_cpp" for name in imported_modules(source))
    assert is_imported == (source == PACKAGE / "engine" / "llama.py")


def test_environment_is_read_by_the_command_line_alone() -> None:
    ways = ("environ", "environb", "getenv", "putenv")
    assert [module_name(s) for s in SOURCES if any(reads_attribute(s, "os", way) for way in ways)] == ["edge_agent.cli"]


def test_agents_modules_load_neither_llama_cpp_nor_numpy_and_start_no_thread() -> None:
    agent_modules = [
        module_name(source)
        for source in SOURCES
        if PACKAGE / "engine" not in source.parents and source.stem != "__main__"
    ]
    loaded = run_python(
        "import importlib, sys, threading\n"
        f"for name in {agent_modules!r}: importlib.import_module(name)\n"
        "print(len(sys.modules) > 100, sorted({'llama_cpp', 'numpy'} & set(sys.modules)), threading.active_count())"
    )
    assert loaded == "True [] 1"


def test_engine_loads_nothing_of_the_web_or_of_telemetry() -> None:
    engine_modules = [module_name(source) for source in (PACKAGE / "engine").rglob("*.py") if source.stem != "__main__"]
    loaded = run_python(
        "import importlib, sys\n"
        f"for name in {engine_modules!r}: importlib.import_module(name)\n"
        "foreign = {'aiohttp', 'prometheus_client', 'psutil', 'click', 'rich'}\n"
        "print('llama_cpp' in sys.modules, sorted(foreign & set(sys.modules)))"
    )
    assert loaded == "True []"


# --- the words ---------------------------------------------------------------------------------------------------


def test_changelog_has_a_dated_entry_for_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", changelog, flags=re.MULTILINE)
    assert headings[0] == edge_agent.__version__


def test_contributing_names_only_files_that_exist() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:edge_agent|tests|tools|models)/[\w/.]+)`", contributing)
    assert "edge_agent/protocol.py" in named
    assert [path for path in named if not (ROOT / path).exists()] == []


# --- make --------------------------------------------------------------------------------------------------------


def phony_targets() -> list[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    assert found
    return found[1].split()


def test_make_alone_prints_every_target_and_variable() -> None:
    printed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True
    ).stdout
    assert re.findall(r"^  make ([a-z-]+) ", printed, flags=re.MULTILINE) == phony_targets()
    variables = ["MODEL", "PYTHON", "LLAMA_WHEEL", "HOST", "PORT", "EXTRAS", "WHEELHOUSE", "ARGS"]
    assert re.findall(r"^  ([A-Z_]+)=", printed, flags=re.MULTILINE) == variables


def test_continuous_integration_runs_exactly_make_test_and_make_check() -> None:
    commands = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in commands if line.startswith("make")] == ["make test", "make check"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder to be all of PATH: what every system has, and neither compiler nor apt-get nor Prometheus."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(sys.executable)
    return programs


def run_script(name: str, *arguments: str, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    bash = shutil.which("bash")
    assert bash
    return subprocess.run(
        [bash, str(ROOT / "tools" / name), *arguments],
        cwd=path.parent,
        env={"PATH": str(path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def make_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{shutil.which('bash')}\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def test_a_missing_compiler_is_answered_with_the_command_that_installs_it(bare_path: Path) -> None:
    done = run_script("system_packages.sh", "serve", path=bare_path)
    assert done.returncode == 2
    assert "sudo apt-get update && sudo apt-get install -y build-essential\n" in done.stderr


def test_a_prebuilt_wheel_needs_no_compiler(bare_path: Path) -> None:
    done = run_script("system_packages.sh", "serve", path=bare_path, LLAMA_WHEEL="wheels/")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_old_python_is_refused_with_its_version(bare_path: Path) -> None:
    make_program(bare_path / "python3.9", '[[ $1 == --version ]] && echo "Python 3.9.2"; [[ $2 != *version_info* ]]')
    done = run_script("system_packages.sh", "serve", path=bare_path, PYTHON="python3.9")
    assert done.returncode == 2
    assert done.stderr.startswith("Python 3.9.2 is too old: edge-agent needs Python 3.11 or newer.\n")


def test_a_wheel_that_does_not_exist_is_refused_before_anything_is_made(bare_path: Path) -> None:
    done = run_script("install.sh", path=bare_path, LLAMA_WHEEL="nowhere/llama.whl")
    assert done.returncode == 2
    assert done.stderr.startswith("LLAMA_WHEEL=nowhere/llama.whl does not exist")
    assert not (bare_path.parent / ".venv").exists()


def programs_of_tests() -> list[tuple[str, str, str]]:
    lines = (ROOT / "tools" / "test_programs").read_text(encoding="utf-8").splitlines()
    marker_program_package = [tuple(line.split()) for line in lines if not line.startswith("#")]
    return [(marker, program, package) for marker, program, package in marker_program_package]


def test_tests_that_need_a_missing_program_are_left_out_aloud(bare_path: Path) -> None:
    make_program(bare_path.parent / ".venv" / "bin" / "pytest", 'printf "%s|" "$@"')
    for _, program, _ in programs_of_tests():
        if program != "promtool":
            make_program(bare_path / program, "exit 0")
    done = run_script("run_tests.sh", "-x", path=bare_path)
    assert "not needs_prometheus" in done.stdout
    assert "needs_chromium" not in done.stdout
    assert done.stdout.endswith("|-x|")
    said = done.stderr.splitlines()
    assert said.count("LEFT OUT: the tests marked needs_prometheus") == 2
    assert "To run them too:  sudo apt-get install -y --no-install-recommends prometheus" in said


def test_all_tests_run_where_root_has_all_programs(bare_path: Path) -> None:
    make_program(bare_path.parent / ".venv" / "bin" / "pytest", 'printf "%s|" "$@"')
    for _, program, _ in programs_of_tests():
        make_program(bare_path / program, "exit 0")
    left_out = "" if os.geteuid() == 0 else "-m|not needs_fleet|"
    assert run_script("run_tests.sh", "-x", path=bare_path).stdout == left_out + "-x|"


def test_every_marker_of_a_program_is_registered() -> None:
    markers = {
        line.split(":")[0]
        for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    }
    assert {marker for marker, _, _ in programs_of_tests()} == {name for name in markers if name.startswith("needs_")}
