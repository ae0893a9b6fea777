"""Sources are read as catalogs write them; what could reach elsewhere is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.errors import ModelError
from edge_agent.models.sources import (
    FileSource,
    HttpRequest,
    HuggingFaceSource,
    ModelScopeSource,
    PypiSource,
    UrlSource,
    WheelMember,
    check_url,
    http_request,
    parse_source,
    shown,
)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (
            "pypi:a-b==1.0!a_b/x.part01 + a-c==2.0!a_c/x.part02",
            PypiSource([WheelMember("a-b", "1.0", "a_b/x.part01"), WheelMember("a-c", "2.0", "a_c/x.part02")]),
        ),
        ("hf:o/r@abc123/dir/f.gguf", HuggingFaceSource("o/r", "abc123", "dir/f.gguf")),
        ("hf:o/r.x/f.gguf", HuggingFaceSource("o/r.x", "main", "f.gguf")),
        ("modelscope:o/r/f.gguf", ModelScopeSource("o/r", "f.gguf")),
        ("https://h.example/f.gguf?x=1", UrlSource("https://h.example/f.gguf?x=1")),
        ("http://127.0.0.1:80/f.gguf", UrlSource("http://127.0.0.1:80/f.gguf")),
        ("http://[::1]/f.gguf", UrlSource("http://[::1]/f.gguf")),
        ("file:/srv/my model.gguf", FileSource(Path("/srv/my model.gguf"))),
        ("file:///srv/m.gguf", FileSource(Path("/srv/m.gguf"))),
    ],
)
def test_each_kind_of_source_is_read(text: str, source: object) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize(
    "text",
    [
        "",
        "model.gguf",
        "ftp://h.example/f.gguf",
        "pypi:package!member",
        "pypi:--index-url==1!x",
        "pypi:a==1 --pre!x",
        "hf:o/f.gguf",
        "hf:o/r/../../x",
        "hf:o/r@../f.gguf",
        "hf:o/r/.hidden",
        "hf:o/r/f.gguf?download=true",
        "modelscope:o/r@rev/f.gguf",
        "http://h.example/f.gguf",
        "http://127.0.0.1.h.example/f.gguf",
        "https://user:secret@h.example/f.gguf",
        "https:///f.gguf",
        "https://h.example:99999/f",
        "https://h.example/a b",
        "https://h.example/a\r\nHost: x",
        "https://[::1/f",
        "file:relative.gguf",
        "file:",
    ],
)
def test_a_source_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ModelError):
        parse_source(text)


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(ModelError) as refused:
        check_url("https://user:secret@h.example/f.gguf")
    assert "secret" not in str(refused.value)


def test_a_signature_in_an_address_is_not_shown() -> None:
    assert shown("https://user:secret@h.example:8443/f.gguf?sig=abc#x") == "https://h.example:8443/f.gguf"


def test_hugging_face_honours_endpoint_and_token() -> None:
    source = HuggingFaceSource("o/r", "rev", "f.gguf")
    assert http_request(source, {}) == HttpRequest("https://huggingface.co/o/r/resolve/rev/f.gguf", None)
    environ = {"HF_ENDPOINT": "https://mirror.example/", "HF_TOKEN": "hf_x\n"}
    assert http_request(source, environ) == HttpRequest("https://mirror.example/o/r/resolve/rev/f.gguf", "hf_x")


def test_no_other_server_is_given_the_token() -> None:
    environ = {"HF_ENDPOINT": "https://mirror.example", "HF_TOKEN": "hf_x"}
    expected = HttpRequest("https://modelscope.cn/models/o/r/resolve/master/f.gguf", None)
    assert http_request(ModelScopeSource("o/r", "f.gguf"), environ) == expected
    assert http_request(UrlSource("https://h.example/f"), environ) == HttpRequest("https://h.example/f", None)
