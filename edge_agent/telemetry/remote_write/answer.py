"""What a receiver's answer means for the samples that it was sent: taken, lost, or to be sent again. Pure.

An answer is as untrusted as a request: its text is cut short and made printable, and its wishes have bounds.
"""

from __future__ import annotations

import email.utils
import enum
import re
from collections.abc import Collection

from msgspec import Struct

# 10 minutes: a receiver may ask for peace, not switch a device off.
MAX_RETRY_AFTER_SECONDS = 600.0
MAX_SHOWN_CHARACTERS = 200
# What is shorter is no secret that keeps anybody out, and would be found in words.
MIN_SECRET_CHARACTERS = 4
# Ten times 500 to one request, two minutes with the pauses between: then it is not the receiver, it is these samples.
MAX_SERVER_ERRORS = 10
# Prometheus before 2.50 answers 500 to samples older than its out-of-order window, each time anew.
TOO_OLD = "too old sample"
# They speak of the receiver, or of a proxy before it, and not of the samples: worth waiting for, however long.
AWAY = frozenset({408, 429, 502, 503, 504})


class Verdict(enum.Enum):
    """What becomes of a request after an answer."""

    ACCEPTED = "accepted"
    AGAIN = "again"
    REJECTED = "rejected"


class Answer(Struct, frozen=True):
    """A receiver's answer: status, start of its text, and the seconds that it wants to be left alone."""

    status: int
    text: str = ""
    retry_after_seconds: float = 0.0


def verdict(answer: Answer, *, num_server_errors: int) -> Verdict:
    """`num_server_errors`: how many such errors this request has drawn, this answer included."""
    status = answer.status
    if 200 <= status < 300:
        return Verdict.ACCEPTED
    if 400 <= status < 500:
        return Verdict.AGAIN if status in AWAY else Verdict.REJECTED
    if is_server_error(status) and (TOO_OLD in answer.text or num_server_errors >= MAX_SERVER_ERRORS):
        return Verdict.REJECTED
    # A redirect is here too: it is how a network with a login page answers.
    return Verdict.AGAIN


def is_server_error(status: int) -> bool:
    """A 5xx that may be the samples' fault, and so may never end."""
    return status >= 500 and status not in AWAY


def shown_text(body: bytes, *, secrets: Collection[str] = ()) -> str:
    """The start of an answer's text on one line, harmless to whatever shows it, without the secrets that it repeats."""
    text = body.decode("utf-8", errors="replace")
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= MIN_SECRET_CHARACTERS:
            text = text.replace(secret, "***")
    words = "".join(character if character.isprintable() else " " for character in text).split()
    return " ".join(words)[:MAX_SHOWN_CHARACTERS]


def retry_after_seconds(header: str, *, now: float) -> float:
    """Of the header Retry-After: seconds, or a date (`now` is the wall clock). 0 for none, or one that says nothing."""
    wish = header.strip()
    seconds = float(wish) if re.fullmatch(r"[0-9]{1,9}", wish) else _timestamp(wish) - now
    return min(MAX_RETRY_AFTER_SECONDS, max(0.0, seconds))


def _timestamp(date: str) -> float:
    # 64: an HTTP date has 29 characters; the parser is not asked to read a book.
    try:
        return email.utils.parsedate_to_datetime(date).timestamp() if len(date) <= 64 else 0.0
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
