"""Every error that edge-agent raises on purpose. A message says what is wrong and what to do about it.

    EdgeAgentError
    ├── ConfigError                  a key, its value, the remedy; the command line exits with 2
    ├── ModelError
    │   ├── ModelNotFoundError       no such name in the catalog, or its file is not here yet
    │   ├── ModelFileError           not a GGUF that may be loaded: truncated, corrupt, hostile, wrong digest
    │   │   └── ModelTooLargeError   it needs more memory than this machine, or its cgroup, has left
    │   ├── DownloadError            no source gave the whole file
    │   └── DiskSpaceError           the file would not fit
    ├── EngineError
    │   ├── EngineUnavailableError   no engine takes requests now; carries retry_after_seconds
    │   ├── EngineLostError          the engine ended while it was answering
    │   └── PrefixStorageError       a prefix could not be written to the disk
    └── RequestError                 the client's request cannot be served as it is
        ├── InvalidRequestError      carries the parameter at fault
        ├── PrefixNotFoundError      no prefix on disk has this id
        ├── ContextLengthError       prompt and context length, in tokens
        └── QueueFullError           carries retry_after_seconds

Which HTTP status each becomes is one table in `api/error_responses.py`.
"""


class EdgeAgentError(Exception):
    """Base of all errors that are answers, not bugs."""


class ConfigError(EdgeAgentError):
    """The configuration cannot be used; the message names key, value and remedy."""


class ModelError(EdgeAgentError):
    """Something about a model file or its source."""


class ModelNotFoundError(ModelError):
    """The catalog has no such model, or its file has not been fetched."""


class ModelFileError(ModelError):
    """The file is not one that llama.cpp may be given."""


class ModelTooLargeError(ModelFileError):
    """The model does not fit into the memory that is left, however frugal its settings."""


class DownloadError(ModelError):
    """No source delivered the whole, right file."""


class DiskSpaceError(ModelError):
    """The file system has no room for the file."""


class EngineError(EdgeAgentError):
    """Something about the engine process."""


class EngineUnavailableError(EngineError):
    """No engine takes requests now."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class EngineLostError(EngineError):
    """The engine ended, or gave up, while this request was being answered."""


class PrefixStorageError(EngineError):
    """The disk, or what is allowed of it, has no room for a prefix, or cannot be written."""


class RequestError(EdgeAgentError):
    """The request itself cannot be served."""


class InvalidRequestError(RequestError):
    """A parameter is missing, of the wrong type or out of range."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class PrefixNotFoundError(RequestError):
    """No prefix on disk has this id."""


class ContextLengthError(RequestError):
    """The prompt leaves no room for a single generated token."""

    def __init__(self, message: str, *, num_prompt_tokens: int, context_length: int) -> None:
        super().__init__(message)
        self.num_prompt_tokens = num_prompt_tokens
        self.context_length = context_length


class QueueFullError(RequestError):
    """As many requests wait as `scheduler.queue_size` allows."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
