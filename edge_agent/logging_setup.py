"""Where log lines go and what one looks like, as plain text or as JSON.

Set up once, by the command line, before the service starts. A record may carry `extra={"fields": {…}}`: key=value after
a plain message, members of a JSON object. What is logged came from clients too, so nothing in it may begin a new line.
"""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Mapping
from typing import TextIO

from edge_agent.config import LogSection

# All that ends a line, moves a cursor or turns the reading direction somewhere: C0, DEL, C1, U+2028, bidi marks,
# and lone surrogates, which no stream can encode.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
NEEDS_QUOTES = re.compile(r'[\s"=\\]|^$')


def set_up_logging(section: LogSection, stream: TextIO) -> None:
    """Send all log lines of this process to `stream`; a second call replaces the first."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if section.format == "json" else PlainFormatter())
    logging.basicConfig(level=section.level.upper(), handlers=[handler], force=True)
    # The request log has the same facts and more, one line a request.
    logging.getLogger("aiohttp.access").disabled = True


class PlainFormatter(logging.Formatter):
    """`2026-11-24T08:00:00Z INFO edge_agent.app listening port=8080`; a traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        words = [_time(record), record.levelname, record.name, escaped(record.getMessage())]
        words += [f"{escaped(str(key))}={_plain_value(value)}" for key, value in _fields(record).items()]
        lines = [" ".join(words)]
        # Indented: no line of it looks like a log line.
        lines += [f"    {escaped(line)}" for line in _traceback(self, record).split("\n") if line]
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the record's fields, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if traceback := _traceback(self, record):
            event["traceback"] = traceback
        # The record's own names win over a field's.
        event |= {str(key): _json_value(value) for key, value in _fields(record).items() if str(key) not in event}
        return json.dumps(event)


def escaped(text: str) -> str:
    r"""The text on one line: a newline becomes `\n`, other characters that a terminal obeys `\x1b` or `\u2028`."""
    return UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, Mapping) else {}


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info else []
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)


def _plain_value(value: object) -> str:
    text = str(value)
    if NEEDS_QUOTES.search(text):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return escaped(text)


def _json_value(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such number
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)
