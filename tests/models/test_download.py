"""Downloads from a real server: whole, resumed, retried, refused; and nothing wrong ever gets the file's name."""

from __future__ import annotations

import gc
import hashlib
import logging
import os
import resource
import warnings
from pathlib import Path

import pytest

from edge_agent.errors import DiskSpaceError, DownloadError, ModelFileError
from edge_agent.models.download import Downloader, DownloadPlan, free_disk_bytes
from edge_agent.models.partial_file import PartialFile
from edge_agent.models.transfer import DownloadLimits, Expected
from tests.models.file_server import FileServer, Serving

DATA = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(DATA).hexdigest()
HALF = len(DATA) // 2
KNOWN = Expected(len(DATA), SHA256)
UNKNOWN = Expected(None, None)
GB = 10**9


class Fetch:
    """A downloader, its target folder, and what it did: progress and pauses."""

    def __init__(self, folder: Path, limits: DownloadLimits, *, free_bytes: int = 100 * GB) -> None:
        self.target = folder / "models" / "m.gguf"
        self.partial = folder / "models" / "m.gguf.partial"
        self.progress: list[tuple[int, int | None]] = []
        self.pauses: list[float] = []
        self.environ: dict[str, str] = {}
        self._downloader = Downloader(limits=limits, free_bytes=lambda _: free_bytes, pause=self.pauses.append)

    def run(self, *sources: str, expected: Expected = KNOWN) -> str:
        plan = DownloadPlan(name="m", target=self.target, sources=list(sources), expected=expected)
        return self._downloader.fetch(
            plan, progress=lambda *step: self.progress.append(step), environ=self.environ, check=check_content
        )

    def leave_partial(self, data: bytes, *, origin: str | None = None) -> None:
        self.partial.parent.mkdir(exist_ok=True)
        self.partial.write_bytes(data)
        if origin is not None:
            self.partial.with_name("m.gguf.partial.origin").write_text(origin)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.target.parent.iterdir())


def check_content(path: Path) -> None:
    """Stands for the check of a GGUF's header."""
    if path.read_bytes().startswith(b"<html>"):
        raise ModelFileError("it is a web page")


@pytest.fixture
def fetch(tmp_path: Path, limits: DownloadLimits) -> Fetch:
    return Fetch(tmp_path, limits)


def ranges(server: FileServer) -> list[str | None]:
    return [asked.headers.get("range") for asked in server.asked]


def test_a_file_is_fetched_whole_and_leaves_nothing_else(server: FileServer, fetch: Fetch) -> None:
    assert fetch.run(server.serve("/f", Serving(data=DATA))) == SHA256
    assert fetch.target.read_bytes() == DATA
    assert fetch.files() == ["m.gguf"]
    assert fetch.progress[-1] == (len(DATA), len(DATA))
    assert server.asked[0].headers["accept-encoding"] == "identity"


def test_a_file_without_known_size_or_digest_is_fetched(server: FileServer, fetch: Fetch) -> None:
    assert fetch.run(server.serve("/f", Serving(data=DATA)), expected=UNKNOWN) == SHA256


def test_a_short_body_is_resumed_with_its_tag(server: FileServer, fetch: Fetch) -> None:
    url = server.serve("/f", Serving(data=DATA, etag='"v1"', cut_after=HALF), Serving(data=DATA, etag='"v1"'))
    assert fetch.run(url, expected=UNKNOWN) == SHA256
    assert ranges(server) == [None, f"bytes={HALF}-"]
    assert server.asked[1].headers["if-range"] == '"v1"'
    assert fetch.pauses == [1.0]


def test_a_later_pull_goes_on_where_the_first_one_stopped(server: FileServer, fetch: Fetch) -> None:
    url = server.serve("/f", Serving(data=DATA, etag='"v1"', cut_after=HALF), Serving(status=404))
    with pytest.raises(DownloadError, match="answered 404"):
        fetch.run(url)
    assert fetch.files() == ["m.gguf.partial", "m.gguf.partial.origin"]
    server.serve("/f", Serving(data=DATA, etag='"v1"'))
    assert fetch.run(url) == SHA256
    assert ranges(server)[-1] == f"bytes={HALF}-"
    assert fetch.files() == ["m.gguf"]


def test_a_file_that_changed_meanwhile_is_fetched_anew(server: FileServer, fetch: Fetch) -> None:
    old = Serving(data=bytes(len(DATA)), etag='"v1"', cut_after=HALF)
    url = server.serve("/f", old, Serving(data=DATA, etag='"v2"'))
    assert fetch.run(url, expected=UNKNOWN) == SHA256


def test_a_server_that_ignores_ranges_starts_over(server: FileServer, fetch: Fetch) -> None:
    url = server.serve("/f", Serving(data=DATA, cut_after=HALF), Serving(data=DATA, has_ranges=False))
    assert fetch.run(url) == SHA256
    assert ranges(server) == [None, f"bytes={HALF}-"]


def test_a_range_that_is_not_satisfiable_starts_over(server: FileServer, fetch: Fetch) -> None:
    fetch.leave_partial(b"x" * HALF)
    url = server.serve("/f", Serving(status=416), Serving(data=DATA))
    assert fetch.run(url) == SHA256
    assert ranges(server) == [f"bytes={HALF}-", None]


def test_a_range_of_another_start_starts_over(server: FileServer, fetch: Fetch) -> None:
    fetch.leave_partial(DATA[:HALF])
    lie = Serving(data=DATA, status=206, headers={"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"})
    assert fetch.run(server.serve("/f", lie, Serving(data=DATA))) == SHA256
    assert ranges(server) == [f"bytes={HALF}-", None]


def test_a_second_source_goes_on_with_what_the_first_one_gave(server: FileServer, fetch: Fetch) -> None:
    first = server.serve("/first", Serving(data=DATA, cut_after=HALF), Serving(status=410))
    second = server.serve("/second", Serving(data=DATA))
    assert fetch.run(first, second) == SHA256
    assert [asked.path for asked in server.asked] == ["/first", "/first", "/second"]
    assert ranges(server)[-1] == f"bytes={HALF}-"


def test_without_a_digest_no_bytes_of_another_source_are_kept(server: FileServer, fetch: Fetch) -> None:
    fetch.leave_partial(b"x" * HALF, origin='{"url":"https://elsewhere.example/f","etag":"\\"v1\\""}')
    assert fetch.run(server.serve("/f", Serving(data=DATA)), expected=UNKNOWN) == SHA256
    assert ranges(server) == [None]


@pytest.mark.parametrize("left", [b"x" * HALF, b"x" * len(DATA), b"x" * (len(DATA) + 1)])
def test_a_damaged_partial_file_costs_one_more_download(server: FileServer, fetch: Fetch, left: bytes) -> None:
    fetch.leave_partial(left)
    assert fetch.run(server.serve("/f", Serving(data=DATA))) == SHA256
    assert fetch.target.read_bytes() == DATA


def test_a_whole_partial_file_is_not_fetched_again(fetch: Fetch) -> None:
    fetch.leave_partial(DATA)
    assert fetch.run("https://unreachable.invalid/f") == SHA256


def test_a_wrong_digest_is_deleted_and_the_next_source_tried(server: FileServer, fetch: Fetch) -> None:
    wrong = server.serve("/wrong", Serving(data=bytes(len(DATA))))
    assert fetch.run(wrong, server.serve("/right", Serving(data=DATA))) == SHA256
    assert ranges(server) == [None, None]


def test_a_wrong_file_from_the_only_source_leaves_nothing(server: FileServer, fetch: Fetch) -> None:
    with pytest.raises(DownloadError, match=f"the catalog says {SHA256}"):
        fetch.run(server.serve("/f", Serving(data=bytes(len(DATA)))))
    assert fetch.files() == []
    assert len(server.asked) == 1


def test_a_file_that_fails_the_check_leaves_nothing(server: FileServer, fetch: Fetch) -> None:
    with pytest.raises(DownloadError, match="it is a web page"):
        fetch.run(server.serve("/f", Serving(data=b"<html>please log in</html>")), expected=UNKNOWN)
    assert fetch.files() == []


def test_a_file_of_another_size_is_not_even_begun(server: FileServer, fetch: Fetch) -> None:
    with pytest.raises(DownloadError, match=f"offers 3 bytes, the catalog says {len(DATA)}"):
        fetch.run(server.serve("/f", Serving(data=b"abc")))
    assert fetch.progress == []


def test_a_server_that_does_not_tell_the_size_is_refused(server: FileServer, fetch: Fetch) -> None:
    with pytest.raises(DownloadError, match="does not say how large"):
        fetch.run(server.serve("/f", Serving(data=DATA, is_size_told=False)))


def test_a_stalled_server_is_given_up_after_bounded_attempts(server: FileServer, fetch: Fetch) -> None:
    with pytest.raises(DownloadError, match=r"nothing came for too long \(tried 3 times\)"):
        fetch.run(server.serve("/f", Serving(data=DATA, stall_after=1000)))
    assert len(server.asked) == 3
    assert fetch.pauses == [1.0, 2.0]
    assert fetch.partial.read_bytes() == DATA[:3000]


def test_a_stall_is_overcome_by_asking_again(server: FileServer, fetch: Fetch) -> None:
    assert fetch.run(server.serve("/f", Serving(data=DATA, stall_after=HALF), Serving(data=DATA))) == SHA256


def test_attempts_are_counted_anew_after_a_megabyte(server: FileServer, fetch: Fetch) -> None:
    data = bytes(5 * 1024 * 1024)
    sha256 = hashlib.sha256(data).hexdigest()
    url = server.serve("/f", Serving(data=data, cut_after=1024 * 1024))
    assert fetch.run(url, expected=Expected(len(data), sha256)) == sha256
    assert fetch.pauses == [1.0, 1.0, 1.0, 1.0]


def test_a_server_that_always_breaks_off_and_cannot_resume_is_given_up(server: FileServer, fetch: Fetch) -> None:
    data = bytes(5 * 1024 * 1024)
    url = server.serve("/f", Serving(data=data, cut_after=2 * 1024 * 1024, has_ranges=False))
    with pytest.raises(DownloadError, match=r"ended after 2097152 bytes \(tried 3 times\)"):
        fetch.run(url, expected=UNKNOWN)
    # The first attempt gained something, the three that followed it nothing.
    assert len(server.asked) == 4


def test_retry_after_is_honoured_within_bounds(server: FileServer, fetch: Fetch) -> None:
    busy = [Serving(status=503, headers={"Retry-After": wish}) for wish in ("7", "999999")]
    assert fetch.run(server.serve("/f", *busy, Serving(data=DATA))) == SHA256
    assert fetch.pauses == [7.0, 10.0]


@pytest.mark.parametrize(("status", "reason"), [(404, "answered 404"), (403, "set HF_TOKEN"), (401, "set HF_TOKEN")])
def test_a_final_status_is_not_tried_again(server: FileServer, fetch: Fetch, status: int, reason: str) -> None:
    with pytest.raises(DownloadError, match=reason):
        fetch.run(server.serve("/f", Serving(status=status)))
    assert len(server.asked) == 1


def test_a_closed_port_is_named(fetch: Fetch, server: FileServer) -> None:
    with FileServer() as closed:
        url = closed.url("/f")
    with pytest.raises(DownloadError, match=f"{url} cannot be reached: .*Connection refused"):
        fetch.run(url)


# --- redirects and the token -------------------------------------------------------------------------------------


def hf_environ(server: FileServer) -> dict[str, str]:
    return {"HF_ENDPOINT": server.url(""), "HF_TOKEN": "hf_secret"}


def test_the_token_goes_to_its_own_server_only(server: FileServer, fetch: Fetch) -> None:
    fetch.environ = hf_environ(server)
    with FileServer() as other:
        other.serve("/blob", Serving(data=DATA))
        server.serve("/o/r/resolve/main/f.gguf", Serving(status=302, headers={"Location": "/again"}))
        server.serve("/again", Serving(status=307, headers={"Location": other.url("/blob")}))
        assert fetch.run("hf:o/r/f.gguf") == SHA256
        assert [asked.headers.get("authorization") for asked in server.asked] == ["Bearer hf_secret"] * 2
        assert [asked.headers.get("authorization") for asked in other.asked] == [None]


def test_the_token_does_not_follow_to_another_name_of_the_same_port(server: FileServer, fetch: Fetch) -> None:
    fetch.environ = hf_environ(server)
    location = {"Location": server.url("/blob", host="localhost")}
    server.serve("/o/r/resolve/main/f.gguf", Serving(status=302, headers=location))
    server.serve("/blob", Serving(data=DATA))
    assert fetch.run("hf:o/r/f.gguf") == SHA256
    assert [asked.headers.get("authorization") for asked in server.asked] == ["Bearer hf_secret", None]


def test_neither_token_nor_signature_is_logged(
    server: FileServer, fetch: Fetch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fetch.environ = hf_environ(server)
    server.serve("/o/r/resolve/main/f.gguf", Serving(status=302, headers={"Location": "/blob?sig=topsecret"}))
    server.serve("/blob?sig=topsecret", Serving(status=500))
    with pytest.raises(DownloadError) as failed:
        fetch.run("hf:o/r/f.gguf")
    assert "answered 500" in str(failed.value)
    assert "secret" not in caplog.text + str(failed.value)


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://h.example/f", "is not https"),
        ("file:///etc/passwd", "cannot be read"),
        ("ftp://h.example/f", "is not https"),
        ("https://user:secret@h.example/f", "carries a user name"),
        ("http://[::1/f", "cannot be read"),
        ("", "answered 302"),
    ],
)
def test_a_redirect_to_somewhere_unsafe_is_refused(
    server: FileServer, fetch: Fetch, location: str, reason: str
) -> None:
    with pytest.raises(DownloadError, match=reason):
        fetch.run(server.serve("/f", Serving(status=302, headers={"Location": location})))
    assert len(server.asked) == 1


def test_redirects_in_a_circle_end(server: FileServer, fetch: Fetch) -> None:
    with pytest.raises(DownloadError, match="redirects more than 8 times"):
        fetch.run(server.serve("/f", Serving(status=302, headers={"Location": "/f"})))
    assert len(server.asked) == 8


def test_a_proxy_of_the_environment_is_asked_for_other_machines_only(server: FileServer, fetch: Fetch) -> None:
    with FileServer() as proxy:
        fetch.environ = {"https_proxy": proxy.url(""), "HTTP_PROXY": proxy.url("")}
        with warnings.catch_warnings():
            # Python 3.11.2, Debian 12's, leaves the answer of a proxy that refuses a tunnel to the garbage collector.
            warnings.simplefilter("ignore", ResourceWarning)
            with pytest.raises(DownloadError, match="Tunnel connection failed: 501"):
                fetch.run("https://unreachable.invalid/f")
            gc.collect()
        assert fetch.run(server.serve("/f", Serving(data=DATA))) == SHA256


# --- the disk ----------------------------------------------------------------------------------------------------


def test_a_file_that_does_not_fit_is_refused_with_both_numbers(
    server: FileServer, tmp_path: Path, limits: DownloadLimits
) -> None:
    fetch = Fetch(tmp_path, limits, free_bytes=1_000_000)
    url = server.serve("/f", Serving(data=DATA))
    with pytest.raises(DiskSpaceError, match=r"68 MB \(68157440 bytes\) are needed in .* and 1 MB \(1000000 bytes\)"):
        fetch.run(url, url)
    assert len(server.asked) == 1
    assert fetch.progress == []


def test_what_is_here_already_needs_no_more_room(server: FileServer, tmp_path: Path, limits: DownloadLimits) -> None:
    fetch = Fetch(tmp_path, limits, free_bytes=64 * 1024 * 1024 + HALF)
    fetch.leave_partial(DATA[:HALF])
    assert fetch.run(server.serve("/f", Serving(data=DATA))) == SHA256


def test_free_bytes_are_those_of_the_file_system(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    assert 0 < free_disk_bytes(tmp_path) <= status.f_blocks * status.f_frsize


def test_a_partial_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "m.gguf.partial").symlink_to(tmp_path / "precious")
    with pytest.raises(DownloadError, match="cannot be written"):
        PartialFile(tmp_path / "m.gguf")
    assert not (tmp_path / "precious").exists()


def test_a_file_that_cannot_be_written_is_not_tried_again(server: FileServer, fetch: Fetch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, hard))
    try:
        with pytest.raises(DownloadError, match=r"m\.gguf\.partial cannot be written: File too large"):
            fetch.run(server.serve("/f", Serving(data=DATA)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(server.asked) == 1


def test_two_downloads_of_one_file_exclude_each_other(server: FileServer, fetch: Fetch) -> None:
    fetch.target.parent.mkdir()
    with PartialFile(fetch.target), pytest.raises(DownloadError, match="being written by another download"):
        fetch.run(server.serve("/f", Serving(data=DATA)))


def test_a_folder_that_cannot_be_made_is_named(server: FileServer, fetch: Fetch) -> None:
    fetch.target.parent.write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match=r"models cannot be made: .*; check models.dir"):
        fetch.run(server.serve("/f", Serving(data=DATA)))


# --- copies ------------------------------------------------------------------------------------------------------


def test_a_local_file_is_copied(tmp_path: Path, fetch: Fetch) -> None:
    (tmp_path / "here.gguf").write_bytes(DATA)
    assert fetch.run(f"file:{tmp_path}/here.gguf") == SHA256
    assert (tmp_path / "here.gguf").exists()
    assert fetch.progress[-1] == (len(DATA), len(DATA))


def test_a_local_file_that_is_none_is_refused(tmp_path: Path, fetch: Fetch) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "short").write_bytes(b"abc")
    for name, reason in (("absent", "No such file"), ("pipe", "is not a file of"), ("short", "is not a file of")):
        with pytest.raises(DownloadError, match=reason):
            fetch.run(f"file:{tmp_path}/{name}")
