"""What llama.cpp itself says of the buffers that it makes for a model, read from the log of a real engine."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
from typing import BinaryIO

import msgspec
from msgspec import Struct

from edge_agent.frames import FrameDecoder, encode_frame
from edge_agent.protocol import EngineSettings, Load, LoopMessage, Ready

KV_CACHE = re.compile(r"KV buffer size = +([\d.]+) MiB")
COMPUTE = re.compile(r"compute buffer size = +([\d.]+) MiB")
REPACKED = re.compile(r"CPU_REPACK model buffer size = +([\d.]+) MiB")


class LlamaBuffers(Struct, frozen=True):
    """Mebibytes, as llama.cpp rounds them; several buffers of a kind are added up."""

    kv_cache_mib: float
    compute_mib: float
    repacked_mib: float


def read_llama_buffers(settings: EngineSettings) -> LlamaBuffers:
    """Start an engine, let it load, end it, and read its log."""
    with tempfile.TemporaryFile() as log:
        load_once(settings, log)
        log.seek(0)
        text = log.read().decode("utf-8", errors="replace")
    return LlamaBuffers(_total(KV_CACHE, text), _total(COMPUTE, text), _total(REPACKED, text))


def load_once(settings: EngineSettings, log: BinaryIO) -> None:
    commands, commands_end = socket.socketpair()
    reports, reports_end = socket.socketpair()
    fds = [commands_end.fileno(), reports_end.fileno()]
    with commands, commands_end, reports, reports_end:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_agent.engine", "--commands-fd", str(fds[0]), "--reports-fd", str(fds[1])],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            commands_end.close()
            reports_end.close()
            commands.sendall(encode_frame(Load(settings)))
            assert reads_ready(reports)
        finally:
            process.kill()
            process.wait()


def reads_ready(reports: socket.socket) -> bool:
    """Whether the engine says that it is ready, before it ends."""
    frames, decoder = FrameDecoder(), msgspec.msgpack.Decoder(LoopMessage)
    while data := reports.recv(65536):
        if any(isinstance(decoder.decode(payload), Ready) for payload in frames.feed(data)):
            return True
    return False


def _total(pattern: re.Pattern[str], text: str) -> float:
    return sum(float(number) for number in pattern.findall(text))
