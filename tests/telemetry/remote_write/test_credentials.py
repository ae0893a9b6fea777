from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_agent.config import RemoteWriteEndpoint
from edge_agent.telemetry.remote_write.credentials import CredentialFiles, UnusableFileError

URL = "https://metrics.example/api/v1/write"


def token_files(path: Path) -> CredentialFiles:
    return CredentialFiles(RemoteWriteEndpoint(url=URL, bearer_token_file=str(path)))


def complaint(files: CredentialFiles) -> str:
    with pytest.raises(UnusableFileError) as raised:
        files.read()
    return str(raised.value)


def num_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_receiver_without_credentials_gets_none() -> None:
    credentials = CredentialFiles(RemoteWriteEndpoint(url=URL)).read()
    assert (dict(credentials.headers), credentials.tls) == ({}, None)


def test_a_rotated_token_is_in_force_at_once(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    files = token_files(path)
    assert files.read().headers == {"Authorization": "Bearer first"}
    path.write_text(" second \n")
    assert files.read().headers == {"Authorization": "Bearer second"}


def test_a_password_goes_with_its_user_as_basic_authentication(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("op\N{LATIN SMALL LETTER E WITH ACUTE}n\n")
    files = CredentialFiles(RemoteWriteEndpoint(url=URL, username="pi", password_file=str(path)))
    # base64 of "pi:opén" in UTF-8.
    credentials = files.read()
    assert credentials.headers == {"Authorization": "Basic cGk6b3DDqW4="}
    assert credentials.secrets == {"op\N{LATIN SMALL LETTER E WITH ACUTE}n", "cGk6b3DDqW4="}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds no text; write the secret into it"),
        (b"\n", "holds no text; write the secret into it"),
        (b"\xff\xfe", "holds no text; write the secret into it"),
        (b"a\r\nX-Evil: 1", "holds more than one word of ASCII; write the token alone"),
        (b"x" * 16385, "has more than 16384 bytes; give the right file"),
    ],
)
def test_a_file_without_a_usable_token_is_told_without_its_content(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    assert complaint(token_files(path)) == f"bearer_token_file {path} {problem}"


def test_a_missing_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "none"
    assert complaint(token_files(path)) == (
        f"bearer_token_file {path} cannot be read (No such file or directory); "
        "put it there, readable for the agent's user"
    )


def test_a_folder_in_place_of_a_file_is_told_and_costs_no_descriptor(tmp_path: Path) -> None:
    files = token_files(tmp_path)
    before = num_descriptors()
    assert complaint(files) == (
        f"bearer_token_file {tmp_path} cannot be read (Is a directory); put it there, readable for the agent's user"
    )
    assert num_descriptors() == before


def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    path = tmp_path / "token"
    os.mkfifo(path)
    assert complaint(token_files(path)) == f"bearer_token_file {path} holds no text; write the secret into it"


@pytest.mark.parametrize("content", [b"", b"no certificate", b"\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_without_certificates_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    files = CredentialFiles(RemoteWriteEndpoint(url=URL, ca_file=str(path)))
    assert complaint(files) == f"ca_file {path} holds no certificates in PEM; give such a file"
