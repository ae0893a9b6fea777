"""An engine without a model, to be measured: how long its steps take depends on its settings.

    python -m tests.tuning.measured --folder FOLDER --commands-fd N --reports-fd M

It says in its reports what steps of such lengths would say, without letting the time pass. In FOLDER are the scenario
and the journal: a line of JSON for each process, the settings that it was started with.
"""

from __future__ import annotations

import argparse
import itertools
import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.frames import FrameDecoder, encode_frame
from edge_agent.protocol import (
    Accepted,
    Command,
    EngineSettings,
    EngineUsage,
    Finished,
    FinishReason,
    KvCells,
    Load,
    LoadFailed,
    Message,
    PromptTokens,
    Ready,
    Report,
    SequenceReport,
    SequenceTimes,
    Stop,
    Submit,
    TokenPrompt,
)
from tests.engine_client.scripted_engine import MODEL

CELLS = KvCells(used=0, cached=0, capacity=1024)
USAGE = EngineUsage(resident_bytes=1_000_000, private_bytes=100_000, cpu_seconds=1.0)


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of a prompt's row and of an answer's token by default; what they are multiplied by, by setting."""

    prefill_seconds: float = 0.01
    decode_seconds: float = 0.1
    # Such as {"repack=false": [0.5, 1.0]}: half the time for prefill, the same for decode.
    factors: dict[str, list[float]] = {}
    # Settings with which the model cannot be loaded.
    unloadable: list[str] = []
    # Further factors for both, by process, for a machine that slows down or does other work.
    by_process: list[float] = []
    # And by question: 1 for all that follow.
    by_question: list[float] = []
    # Load and answer the intake, but compute nothing.
    is_hanging: bool = False


def write_scenario(folder: Path, scenario: Scenario) -> tuple[str, ...]:
    """Write it; returns the engine's command."""
    (folder / "scenario.json").write_bytes(msgspec.json.encode(scenario))
    return (sys.executable, "-m", "tests.tuning.measured", "--folder", str(folder))


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """The settings of each process so far."""
    journal = folder / "journal"
    return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []


class MeasuredProcess:
    """One process."""

    def __init__(self, scenario: Scenario, *, commands: socket.socket, reports: socket.socket, folder: Path) -> None:
        self._scenario = scenario
        self._commands = commands
        self._reports = reports
        self._folder = folder
        self._frames = FrameDecoder()
        self._decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
        # The moment that the last step is said to have ended at.
        self._now = time.monotonic()
        self._factors = [1.0, 1.0]
        self._num_questions = 0
        self._question_factor = 1.0

    def run(self) -> None:
        while data := self._commands.recv(65536):
            for payload in self._frames.feed(data):
                command = self._decoder.decode(payload)
                match command:
                    case Load():
                        self._load(command.settings)
                    case Submit():
                        self._answer(command)
                    case Stop():
                        return

    def _load(self, settings: EngineSettings) -> None:
        number = len(read_journal(self._folder))
        with (self._folder / "journal").open("ab") as journal:
            journal.write(msgspec.json.encode(settings) + b"\n")
        spelt = {f"{name}={json.dumps(value)}" for name, value in msgspec.structs.asdict(settings).items()}
        spelt = {text.replace('"', "") for text in spelt}
        if unloadable := spelt & set(self._scenario.unloadable):
            self._say(LoadFailed(f"no memory for {unloadable.pop()}"))
            sys.exit(1)
        by_process = self._scenario.by_process[number : number + 1] or [1.0]
        self._factors = [by_process[0], by_process[0]]
        for text, factors in self._scenario.factors.items():
            if text in spelt:
                self._factors = [one * other for one, other in zip(self._factors, factors, strict=True)]
        self._say(Ready(msgspec.structs.replace(MODEL, vocabulary_size=49152, context_length=settings.context_length)))

    def _answer(self, request: Submit) -> None:
        if not isinstance(request.prompt, TokenPrompt):
            raise TypeError("a measurement asks with tokens")
        num_rows = len(request.prompt.tokens)
        self._commands.sendall(encode_frame(Accepted(request.id, num_rows)))
        if self._scenario.is_hanging:
            return
        self._question_factor = (*self._scenario.by_question[self._num_questions :], 1.0)[0]
        self._num_questions += 1
        self._step(request, prefill=num_rows)
        for _ in itertools.repeat(None, (request.max_tokens or 1) - 1):
            self._step(request, decode=1)
        times = SequenceTimes(arrived=request.arrived, queued=request.arrived, first_token=self._now)
        finished = Finished(
            request.id, FinishReason.LENGTH, times, PromptTokens(computed=num_rows), request.max_tokens or 1
        )
        self._say(finished)

    def _step(self, request: Submit, *, prefill: int = 0, decode: int = 0) -> None:
        started = self._now
        prefill_factor, decode_factor = (factor * self._question_factor for factor in self._factors)
        self._now += prefill * self._scenario.prefill_seconds * prefill_factor
        self._now += decode * self._scenario.decode_seconds * decode_factor
        self._say(
            Report(
                started=started,
                ended=self._now,
                num_prefill_rows=prefill,
                num_decode_rows=decode,
                kv=CELLS,
                num_running=1,
                num_waiting=0,
                sequences=[SequenceReport(request.id, tokens=[1])],
                usage=USAGE,
            )
        )

    def _say(self, message: Message) -> None:
        self._reports.sendall(encode_frame(message))


def main() -> None:
    """Run one process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--commands-fd", type=int, required=True)
    parser.add_argument("--reports-fd", type=int, required=True)
    arguments = parser.parse_args()
    scenario = msgspec.json.decode((arguments.folder / "scenario.json").read_bytes(), type=Scenario)
    with socket.socket(fileno=arguments.commands_fd) as commands, socket.socket(fileno=arguments.reports_fd) as reports:
        MeasuredProcess(scenario, commands=commands, reports=reports, folder=arguments.folder).run()


if __name__ == "__main__":
    main()
