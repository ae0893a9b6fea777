from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from edge_agent.config import LogSection
from edge_agent.logging_setup import JsonFormatter, PlainFormatter, escaped, set_up_logging

# 2026-11-24T08:00:00Z
CREATED = 1795507200.75


def record(message: str, *arguments: object, **attributes: object) -> logging.LogRecord:
    known = {"name": "edge_agent.request", "levelno": logging.INFO, "levelname": "INFO", "created": CREATED}
    return logging.makeLogRecord({**known, "msg": message, "args": arguments, **attributes})


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    """The real root logger, put back afterwards as it was."""
    root, access = logging.getLogger(), logging.getLogger("aiohttp.access")
    handlers, level, is_disabled = root.handlers[:], root.level, access.disabled
    root.handlers.clear()
    yield root
    root.handlers[:], access.disabled = handlers, is_disabled
    root.setLevel(level)


def forged() -> ValueError:
    try:
        raise ValueError("lost\n2026-11-24T08:00:00Z INFO edge_agent.app all is well\x1b[2J")
    except ValueError as error:
        return error


def exc_info(error: BaseException) -> tuple[type[BaseException], BaseException, object]:
    return type(error), error, error.__traceback__


def test_a_plain_line_is_time_level_logger_message_and_fields() -> None:
    line = PlainFormatter().format(record("request finished status=%d", 200, fields={"tokens": 3, "path": "/v1"}))

    assert line == "2026-11-24T08:00:00Z INFO edge_agent.request request finished status=200 tokens=3 path=/v1"


def test_a_plain_value_that_is_no_single_word_is_quoted() -> None:
    fields = {"a": "two words", "b": "", "c": 'say "x"', "d": "k=v", "e": "back\\slash", "f": None}

    assert (
        PlainFormatter()
        .format(record("done", fields=fields))
        .endswith(r' done a="two words" b="" c="say \"x\"" d="k=v" e="back\\slash" f=None')
    )


def test_a_json_line_is_one_object_with_the_fields_in_it() -> None:
    line = JsonFormatter().format(record("request finished", fields={"tokens": 3, "seconds": 0.5, "stop": None}))

    assert json.loads(line) == {
        "time": "2026-11-24T08:00:00Z",
        "level": "info",
        "logger": "edge_agent.request",
        "message": "request finished",
        "tokens": 3,
        "seconds": 0.5,
        "stop": None,
    }


def test_a_field_cannot_take_the_place_of_the_records_own() -> None:
    line = json.loads(JsonFormatter().format(record("done", fields={"level": "error", "message": "other"})))

    assert (line["level"], line["message"]) == ("info", "done")


def test_json_stays_json_for_numbers_that_it_has_not() -> None:
    line = JsonFormatter().format(record("done", fields={"a": float("nan"), "b": float("-inf"), "c": b"x"}))

    fields = json.loads(line, parse_constant=pytest.fail)
    assert (fields["a"], fields["b"], fields["c"]) == ("nan", "-inf", "b'x'")


HOSTILE = "a\n2026-11-24T08:00:00Z INFO forged\r\x1b[2J\x00\x85\u2028\u202e\ud800"


def test_no_value_can_begin_a_line_or_steer_the_terminal() -> None:
    line = PlainFormatter().format(record("model=%s", HOSTILE, fields={"user": HOSTILE, HOSTILE: 1}))

    assert line.isprintable()
    assert r"model=a\n2026-11-24T08:00:00Z INFO forged\r\x1b[2J\x00\x85\u2028\u202e\ud800 user=" in line


def test_no_value_can_begin_a_line_of_json() -> None:
    line = JsonFormatter().format(record("model=%s", HOSTILE, fields={"user": HOSTILE}))

    assert line.isprintable()
    assert json.loads(line)["user"] == HOSTILE


def test_a_traceback_is_indented_so_that_it_looks_like_no_log_line() -> None:
    text = PlainFormatter().format(record("failed", exc_info=exc_info(forged())))

    first, *rest = text.split("\n")
    assert first == "2026-11-24T08:00:00Z INFO edge_agent.request failed"
    assert rest[0] == "    Traceback (most recent call last):"
    assert rest[-1] == r"    2026-11-24T08:00:00Z INFO edge_agent.app all is well\x1b[2J"
    assert all(line.startswith("    ") for line in rest)


def test_a_traceback_is_a_member_of_the_json_object() -> None:
    line = JsonFormatter().format(record("failed", exc_info=exc_info(forged())))

    assert "\n" not in line
    assert json.loads(line)["traceback"].startswith("Traceback (most recent call last):\n")


def test_escaped_leaves_ordinary_text_alone() -> None:
    assert escaped("Größe 5 → 6 \\n") == "Größe 5 → 6 \\n"


def test_lines_below_the_level_are_not_written(root_logger: logging.Logger) -> None:
    stream = io.StringIO()
    set_up_logging(LogSection(level="warning"), stream)

    logging.getLogger("edge_agent.app").info("quiet")
    logging.getLogger("edge_agent.app").warning("loud")

    assert stream.getvalue().endswith(" WARNING edge_agent.app loud\n")
    assert stream.getvalue().count("\n") == 1


def test_the_second_set_up_replaces_the_first(root_logger: logging.Logger) -> None:
    first, second = io.StringIO(), io.StringIO()
    set_up_logging(LogSection(), first)
    set_up_logging(LogSection(format="json"), second)

    logging.getLogger("edge_agent.app").info("listening", extra={"fields": {"port": 8080}})

    assert first.getvalue() == ""
    assert json.loads(second.getvalue())["port"] == 8080
    assert len(root_logger.handlers) == 1


def test_aiohttps_access_log_stays_off(root_logger: logging.Logger) -> None:
    stream = io.StringIO()
    set_up_logging(LogSection(level="debug"), stream)

    logging.getLogger("aiohttp.access").info("GET / 200")

    assert stream.getvalue() == ""
