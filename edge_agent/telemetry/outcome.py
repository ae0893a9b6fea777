"""How a request for generation ended, in closed sets of words: metrics and the request log use the same ones.

Which HTTP status or error leads to which word, the API knows. Pure data.
"""

from __future__ import annotations

import enum


class Endpoint(enum.Enum):
    """The API functions that generate."""

    CHAT = "chat"
    COMPLETIONS = "completions"


class Outcome(enum.Enum):
    """How the request ended for its client; CLIENT_ERROR is every 4xx that is not a rejection."""

    OK = "ok"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class RejectReason(enum.Enum):
    """Why a request was refused before its first token."""

    QUEUE_FULL = "queue_full"
    TOO_HOT = "too_hot"
    ENGINE_DOWN = "engine_down"
    CONTEXT_LENGTH = "context_length"
    UNAUTHORIZED = "unauthorized"
