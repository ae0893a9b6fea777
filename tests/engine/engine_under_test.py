"""A real engine process at the end of two real socket pairs, spoken to in protocol frames."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from edge_agent.frames import FrameDecoder, encode_frame
from edge_agent.protocol import (
    Accepted,
    Answer,
    Cancel,
    ChatMessage,
    ChatPrompt,
    Command,
    EngineSettings,
    Finished,
    Idle,
    Load,
    LoopMessage,
    Prompt,
    Ready,
    Refused,
    Report,
    SamplingSettings,
    SequenceReport,
    Stop,
    Submit,
    TokenPrompt,
)

T = TypeVar("T")

GREEDY = SamplingSettings(temperature=0)


def settings_for(path: Path, **changes: Any) -> EngineSettings:
    settings = EngineSettings(
        model_path=str(path),
        context_length=2048,
        max_sequences=4,
        max_batch_tokens=256,
        max_step_seconds=5.0,
        target_inter_token_seconds=0.25,
        max_saved_prefix_bytes=16 * 1024 * 1024,
        max_draft_tokens=16,
        kv_cache_type="q8_0",
        flash_attention=True,
        micro_batch_tokens=256,
        repack=True,
        num_threads=2,
        num_threads_batch=2,
        num_gpu_layers=0,
        mmap=True,
        mlock=False,
        model_digest="",
        prefix_folder="",
        max_disk_prefix_bytes=0,
    )
    return msgspec.structs.replace(settings, **changes)


def chat(text: str) -> ChatPrompt:
    return ChatPrompt([ChatMessage("user", text)])


class EngineUnderTest:
    """Starts on entry, is stopped or killed on exit."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._next_id = 0
        self.reports: list[Report] = []
        self.ticks: list[Idle] = []

    def __enter__(self) -> Self:
        self._commands, commands_end = socket.socketpair()
        self._reports, reports_end = socket.socketpair()
        fds = [commands_end.fileno(), reports_end.fileno()]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge_agent.engine", "--commands-fd", str(fds[0]), "--reports-fd", str(fds[1])],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        commands_end.close()
        reports_end.close()
        self._answers: Iterator[Answer] = self._read(self._commands, Answer)
        self._messages: Iterator[LoopMessage] = self._read(self._reports, LoopMessage)
        self.send(Load(self._settings))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._commands.close()
        self._reports.close()
        self.process.kill()
        self.process.wait()

    @staticmethod
    def _read(connection: socket.socket, kind: Any) -> Iterator[Any]:
        frames, decoder = FrameDecoder(), msgspec.msgpack.Decoder(kind)
        while data := connection.recv(65536):
            for payload in frames.feed(data):
                yield decoder.decode(payload)

    def send(self, command: Command) -> None:
        self._commands.sendall(encode_frame(command))

    def next_answer(self) -> Answer:
        return next(self._answers)

    def next_message(self) -> LoopMessage:
        return next(self._messages)

    def wait_for(self, kind: type[T], condition: Callable[[T], bool] = lambda _: True) -> T:
        """Read the loop's messages up to the first of a kind, keeping reports and ticks."""
        for message in self._messages:
            if isinstance(message, Report):
                self.reports.append(message)
            if isinstance(message, Idle):
                self.ticks.append(message)
            if isinstance(message, kind) and condition(message):
                return message
        raise AssertionError(f"the engine ended before it sent {kind.__name__}")

    def ready(self) -> Ready:
        return self.wait_for(Ready)

    def submit(self, prompt: Prompt, *, sampling: SamplingSettings = GREEDY, **fields: Any) -> int:
        """Submit and be accepted."""
        request_id = self.submit_unanswered(prompt, sampling=sampling, **fields)
        answer = self.next_answer()
        assert isinstance(answer, Accepted), answer
        return request_id

    def submit_unanswered(self, prompt: Prompt, *, sampling: SamplingSettings = GREEDY, **fields: Any) -> int:
        self._next_id += 1
        self.send(Submit(self._next_id, prompt, time.monotonic(), sampling, **fields))
        return self._next_id

    def refused(self, prompt: Prompt, **fields: Any) -> Refused:
        self.submit_unanswered(prompt, **fields)
        answer = self.next_answer()
        assert isinstance(answer, Refused), answer
        return answer

    def finish(self, request_id: int) -> Finished:
        return self.wait_for(Finished, lambda finished: finished.id == request_id)

    def finish_any(self) -> Finished:
        return self.wait_for(Finished)

    def hang_up(self) -> None:
        """Close the agent's ends, as a dying agent would."""
        self._commands.close()
        self._reports.close()

    def answer(self, prompt: Prompt, **fields: Any) -> Finished:
        """Submit one request and read it to its end."""
        return self.finish(self.submit(prompt, **fields))

    def cancel(self, request_id: int) -> None:
        self.send(Cancel(request_id))

    def stop(self) -> int:
        self.send(Stop())
        return self.process.wait(timeout=30)

    def reports_of(self, request_id: int) -> list[SequenceReport]:
        return [s for report in self.reports for s in report.sequences if s.id == request_id]

    def tokens_of(self, request_id: int) -> list[int]:
        return [token for report in self.reports_of(request_id) for token in report.tokens]

    def text_of(self, finished: Finished) -> str:
        return "".join(report.text for report in self.reports_of(finished.id)) + finished.text


@contextmanager
def running_engine(path: Path, **changes: Any) -> Iterator[EngineUnderTest]:
    """An engine with its model loaded."""
    with EngineUnderTest(settings_for(path, **changes)) as engine:
        engine.ready()
        yield engine


def token_prompt(length: int, *, first: int = 1000) -> TokenPrompt:
    """A prompt of exactly `length` ordinary tokens."""
    return TokenPrompt([first + i % 500 for i in range(length)])
