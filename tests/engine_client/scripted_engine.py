"""An engine without a model, for tests: speaks the protocol over the same descriptors and does what a script says.

    python scripted_engine.py --script FILE --commands-fd N --reports-fd M

`write_script` makes FILE out of lives: one list of instructions for each process spawned, the last list for all
further ones. Beside FILE it keeps FILE.lives (a byte a process) and FILE.journal (every command, one line of JSON).
A process ends after its last instruction, and whenever it reads Stop or the agent's end.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.disk_prefix import DiskPrefix
from edge_agent.frames import FrameDecoder, encode_frame
from edge_agent.protocol import (
    Accepted,
    Answer,
    Cancel,
    Command,
    Detokenize,
    Detokenized,
    DropPrefix,
    EngineSettings,
    EngineUsage,
    Finished,
    FinishReason,
    Idle,
    KvCells,
    ListPrefixes,
    Load,
    LoopMessage,
    ModelFacts,
    PinPrefix,
    Prefixes,
    PromptTokens,
    Ready,
    RefusalKind,
    Refused,
    Report,
    SequenceReport,
    SequenceTimes,
    Stop,
    Submit,
    Tokenize,
    Tokenized,
)

MODEL = ModelFacts(
    architecture="llama",
    quantization="Q4_1",
    num_parameters=1000,
    size_bytes=4000,
    context_length=256,
    trained_context_length=2048,
    kv_cells=256,
    vocabulary_size=256,
    max_batch_tokens=32,
    num_gpu_layers=0,
    load_seconds=0.5,
    llama_cpp_version="0.0.0",
)
USAGE = EngineUsage(resident_bytes=1_000_000, private_bytes=100_000, cpu_seconds=1.0)
CELLS = KvCells(used=8, cached=4, capacity=256)


# --- instructions ------------------------------------------------------------------------------------------------


class Instruction(msgspec.Struct, frozen=True, tag_field="do"):
    """Base of all: done one after another."""


class Say(Instruction, frozen=True, tag="say"):
    """Send a message of the step loop on the reports channel."""

    message: LoopMessage


class Reply(Instruction, frozen=True, tag="reply"):
    """Send an answer of the intake on the commands channel."""

    answer: Answer


class Await(Instruction, frozen=True, tag="await"):
    """Read commands until one of this type (its tag in the protocol); the others are only noted in the journal."""

    command: str


class SendRaw(Instruction, frozen=True, tag="send_raw"):
    """Send these bytes as they are; `is_report` chooses the channel."""

    data: bytes
    is_report: bool = True


class WriteStderr(Instruction, frozen=True, tag="write_stderr"):
    """Write these bytes to stderr."""

    data: bytes


class CloseReports(Instruction, frozen=True, tag="close_reports"):
    """Close the reports channel and live on."""


class Signal(Instruction, frozen=True, tag="signal"):
    """Send this signal to the own process."""

    number: int


class Exit(Instruction, frozen=True, tag="exit"):
    """End with this exit status."""

    status: int


class Hang(Instruction, frozen=True, tag="hang"):
    """Read and say nothing any more."""


class TickDeaf(Instruction, frozen=True, tag="tick_deaf"):
    """Say every 20 ms that the step loop lives, and read no command: an intake that hangs."""


class Serve(Instruction, frozen=True, tag="serve"):
    """Serve like an engine, one token of every running sequence a step, until Stop.

    Each answer consists of `texts`, a token each, unless its max_tokens is less; a prompt has `num_prompt_tokens`.
    Texts are tokenised to their UTF-8 bytes. With `is_endless` the texts are repeated until the client cancels.
    A pin takes no time; its name is its id.
    """

    texts: tuple[str, ...] = ("Hello", " world")
    num_prompt_tokens: int = 4
    is_endless: bool = False
    step_seconds: float = 0.001
    tick_seconds: float = 1.0
    # Answer every submission with this refusal (its id is replaced).
    refusal: Refused | None = None


AnyInstruction = (
    Say | Reply | Await | SendRaw | WriteStderr | CloseReports | Signal | Exit | Hang | TickDeaf | Serve
)  # fmt: skip

READY = Say(Ready(MODEL))


def write_script(path: Path, *lives: Sequence[AnyInstruction]) -> tuple[str, ...]:
    """Write the script; returns the command for an EngineClient."""
    path.write_bytes(msgspec.json.encode(lives))
    return (sys.executable, str(Path(__file__).resolve()), "--script", str(path))


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Every command that the processes of this script have read, as dictionaries."""
    journal = Path(f"{path}.journal")
    return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []


def count_lives(path: Path) -> int:
    """How many processes this script has run in."""
    lives = Path(f"{path}.lives")
    return lives.stat().st_size if lives.exists() else 0


def make_settings(**changes: Any) -> EngineSettings:
    """Settings for a client in front of a scripted engine."""
    settings = EngineSettings(
        model_path="model.gguf",
        context_length=256,
        max_sequences=2,
        max_batch_tokens=32,
        max_step_seconds=0.01,
        target_inter_token_seconds=0.25,
        max_saved_prefix_bytes=0,
        max_draft_tokens=16,
        kv_cache_type="f16",
        flash_attention=True,
        micro_batch_tokens=256,
        repack=True,
        num_threads=1,
        num_threads_batch=1,
        num_gpu_layers=0,
        mmap=True,
        mlock=False,
        model_digest="",
        prefix_folder="",
        max_disk_prefix_bytes=0,
    )
    return msgspec.structs.replace(settings, **changes)


def make_report(*sequences: SequenceReport, num_running: int | None = None, num_waiting: int = 0) -> Report:
    """A step of a millisecond that decoded one row for each sequence."""
    now = time.monotonic()
    return Report(
        started=now - 0.001,
        ended=now,
        num_prefill_rows=0,
        num_decode_rows=len(sequences),
        kv=CELLS,
        num_running=len(sequences) if num_running is None else num_running,
        num_waiting=num_waiting,
        sequences=list(sequences),
    )


def make_finished(finished_id: int, *, reason: FinishReason = FinishReason.STOP, num_tokens: int = 1) -> Finished:
    """The end of a sequence whose moments are all now."""
    now = time.monotonic()
    times = SequenceTimes(arrived=now, queued=now, scheduled=now, first_token=now, last_token=now, finished=now)
    return Finished(finished_id, reason, times, PromptTokens(computed=4), num_tokens)


# --- the program -------------------------------------------------------------------------------------------------


class ScriptedEngine:
    """One process of a script."""

    def __init__(self, *, commands: socket.socket, reports: socket.socket, journal: Path) -> None:
        self._commands = commands
        self._reports = reports
        self._journal = journal
        self._frames = FrameDecoder()
        self._decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
        self._unread: list[Command] = []
        self.settings: EngineSettings | None = None

    def say(self, message: LoopMessage) -> None:
        self._reports.sendall(encode_frame(message))

    def reply(self, answer: Answer) -> None:
        self._commands.sendall(encode_frame(answer))

    def send_raw(self, instruction: SendRaw) -> None:
        (self._reports if instruction.is_report else self._commands).sendall(instruction.data)

    def close_reports(self) -> None:
        self._reports.close()

    def read(self, *, timeout_seconds: float | None) -> Command | None:
        """The next command; None when none came in time. Ends the process on Stop and on the agent's end."""
        if not self._unread and select.select([self._commands], [], [], timeout_seconds)[0]:
            data = self._commands.recv(65536)
            if not data:
                sys.exit(0)
            self._unread += map(self._decoder.decode, self._frames.feed(data))
        if not self._unread:
            return None
        command = self._unread.pop(0)
        with self._journal.open("ab") as journal:
            journal.write(msgspec.json.encode(command) + b"\n")
        if isinstance(command, Stop):
            sys.exit(0)
        if isinstance(command, Load):
            self.settings = command.settings
        return command

    def wait_for(self, tag: str) -> None:
        while True:
            command = self.read(timeout_seconds=None)
            if command is not None and type(command).__struct_config__.tag == tag:
                return


class Server:
    """What `Serve` does."""

    def __init__(self, engine: ScriptedEngine, options: Serve) -> None:
        self._engine = engine
        self._options = options
        # Requests by id, in the order of their arrival; the first ones run.
        self._open: dict[int, ServedSequence] = {}
        self._prefixes: dict[str, DiskPrefix] = {}

    def run(self) -> None:
        next_tick = time.monotonic() + self._options.tick_seconds
        while True:
            pause = self._options.step_seconds if self._open else max(0.0, next_tick - time.monotonic())
            command = self._engine.read(timeout_seconds=pause)
            if command is not None:
                self._take(command)
            elif self._open:
                self._step()
            else:
                self._engine.say(Idle(time.monotonic(), CELLS, USAGE))
                next_tick = time.monotonic() + self._options.tick_seconds

    def _take(self, command: Command) -> None:
        match command:
            case Submit():
                self._submit(command)
            case Cancel():
                sequence = self._open.pop(command.id, None)
                if sequence is not None:
                    self._engine.say(sequence.finished(FinishReason.CANCELLED))
            case Tokenize():
                data = command.text.encode()
                self._engine.reply(Tokenized(command.id, list(data), [bytes([byte]) for byte in data]))
            case Detokenize():
                self._engine.reply(_detokenize(command))
            case PinPrefix():
                self._pin(command)
            case ListPrefixes():
                self._engine.say(Prefixes(command.id, list(self._prefixes.values())))
            case DropPrefix():
                dropped = self._prefixes.pop(command.prefix_id, None)
                self._engine.say(Prefixes(command.id, [] if dropped is None else [dropped]))

    def _pin(self, request: PinPrefix) -> None:
        if self._options.refusal is not None:
            self._engine.reply(msgspec.structs.replace(self._options.refusal, id=request.id))
            return
        self._engine.reply(Accepted(request.id, self._options.num_prompt_tokens))
        name = request.name or "unnamed"
        prefix = DiskPrefix(name, request.name, self._options.num_prompt_tokens, 1000, is_pinned=True, created=0)
        is_new = name not in self._prefixes
        self._prefixes[name] = prefix
        self._engine.say(Prefixes(request.id, [prefix], is_new=is_new))

    def _submit(self, request: Submit) -> None:
        if self._options.refusal is not None:
            self._engine.reply(msgspec.structs.replace(self._options.refusal, id=request.id))
            return
        self._engine.reply(Accepted(request.id, self._options.num_prompt_tokens))
        self._open[request.id] = ServedSequence(request, self._options)

    def _step(self) -> None:
        started = time.monotonic()
        settings = self._engine.settings
        running = list(self._open.values())[: settings.max_sequences if settings else 1]
        num_new = sum(1 for sequence in running if sequence.num_tokens == 0)
        reports = [sequence.report() for sequence in running]
        ended = [sequence for sequence in running if sequence.finish_reason is not None]
        self._engine.say(
            Report(
                started=started,
                ended=time.monotonic(),
                num_prefill_rows=num_new * self._options.num_prompt_tokens,
                num_decode_rows=len(running) - num_new,
                kv=CELLS,
                num_running=len(running),
                num_waiting=len(self._open) - len(running),
                sequences=reports,
                usage=USAGE,
            )
        )
        for sequence in ended:
            del self._open[sequence.request.id]
            self._engine.say(sequence.finished(sequence.finish_reason or FinishReason.STOP))


class ServedSequence:
    """One answer of `Serve`."""

    def __init__(self, request: Submit, options: Serve) -> None:
        self.request = request
        self.num_tokens = 0
        self.finish_reason: FinishReason | None = None
        self._options = options
        self._queued = time.monotonic()
        self._first_token: float | None = None
        self._last_token: float | None = None

    def report(self) -> SequenceReport:
        """Add a token."""
        previous, now = self._last_token, time.monotonic()
        text = self._options.texts[self.num_tokens % len(self._options.texts)]
        is_first = self.num_tokens == 0
        self._first_token, self._last_token = self._first_token or now, now
        self.num_tokens += 1
        self._decide_end()
        return SequenceReport(
            id=self.request.id,
            text=text,
            tokens=[self.num_tokens],
            prompt=PromptTokens(computed=self._options.num_prompt_tokens) if is_first else PromptTokens(),
            previous_token=previous,
            first_token=self._times() if is_first else None,
        )

    def finished(self, reason: FinishReason) -> Finished:
        is_started = self._first_token is not None
        return Finished(
            id=self.request.id,
            reason=reason,
            times=self._times(finished=time.monotonic()),
            prompt=PromptTokens(computed=self._options.num_prompt_tokens if is_started else 0),
            num_generated_tokens=self.num_tokens,
        )

    def _decide_end(self) -> None:
        if self.num_tokens == self.request.max_tokens:
            self.finish_reason = FinishReason.LENGTH
        elif self.num_tokens == len(self._options.texts) and not self._options.is_endless:
            self.finish_reason = FinishReason.STOP

    def _times(self, finished: float | None = None) -> SequenceTimes:
        return SequenceTimes(
            arrived=self.request.arrived,
            queued=self._queued,
            scheduled=self._first_token,
            first_token=self._first_token,
            last_token=self._last_token,
            finished=finished,
        )


def _detokenize(command: Detokenize) -> Answer:
    if any(not 0 <= token < MODEL.vocabulary_size for token in command.tokens):
        return Refused(command.id, RefusalKind.INVALID, "a token is outside the vocabulary", param="tokens")
    return Detokenized(command.id, bytes(command.tokens).decode(errors="replace"))


def _tick_deaf(engine: ScriptedEngine) -> None:
    while True:
        engine.say(Idle(time.monotonic(), CELLS, USAGE))
        time.sleep(0.02)


def _hang() -> None:
    while True:
        signal.pause()


def _follow(engine: ScriptedEngine, instructions: Sequence[AnyInstruction]) -> None:
    for instruction in instructions:
        match instruction:
            case Say():
                engine.say(instruction.message)
            case Reply():
                engine.reply(instruction.answer)
            case Await():
                engine.wait_for(instruction.command)
            case SendRaw():
                engine.send_raw(instruction)
            case WriteStderr():
                sys.stderr.buffer.write(instruction.data)
                sys.stderr.buffer.flush()
            case CloseReports():
                engine.close_reports()
            case Signal():
                os.kill(os.getpid(), instruction.number)
            case Exit():
                sys.exit(instruction.status)
            case Hang():
                _hang()
            case TickDeaf():
                _tick_deaf(engine)
            case Serve():
                Server(engine, instruction).run()


def _next_life(script: Path) -> Sequence[AnyInstruction]:
    lives = msgspec.json.decode(script.read_bytes(), type=list[list[AnyInstruction]])
    number = count_lives(script)
    with Path(f"{script}.lives").open("ab") as counter:
        counter.write(b".")
    return lives[min(number, len(lives) - 1)]


def main() -> None:
    """Run one life."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--commands-fd", type=int, required=True)
    parser.add_argument("--reports-fd", type=int, required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket(fileno=arguments.commands_fd) as commands, socket.socket(fileno=arguments.reports_fd) as reports:
        engine = ScriptedEngine(commands=commands, reports=reports, journal=Path(f"{arguments.script}.journal"))
        engine.wait_for("load")
        _follow(engine, _next_life(arguments.script))


if __name__ == "__main__":
    main()
