"""The real llama.cpp survives every damaged file that our own reader lets through."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import sys
from pathlib import Path

from edge_agent.errors import ModelFileError
from edge_agent.models.gguf_header import read_header

NUM_FLIPS = 60
# The real model's header: keys and tokens at its start, the table of tensors at its end.
HEADER_BYTES = 1785664
# Loads the file once for every line of standard input (position, byte), each time with that one byte changed.
LOADER = """
import ctypes, os, sys
import llama_cpp
silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
llama_cpp.llama_log_set(silence, None)
parameters = llama_cpp.llama_model_default_params()
parameters.n_gpu_layers = 0
with open(sys.argv[1], "r+b", buffering=0) as file:
    for line in sys.stdin:
        position, byte = map(int, line.split())
        file.seek(position)
        good = file.read(1)
        os.pwrite(file.fileno(), bytes([byte]), position)
        model = llama_cpp.llama_model_load_from_file(sys.argv[1].encode(), parameters)
        if model:
            vocabulary = llama_cpp.llama_model_get_vocab(model)
            tokens = (llama_cpp.llama_token * 64)()
            llama_cpp.llama_tokenize(vocabulary, "Wörter\\n".encode(), 8, tokens, 64, True, True)
            llama_cpp.llama_model_free(model)
        os.pwrite(file.fileno(), good, position)
        sys.stdout.write(f"{position} {byte} {'loaded' if model else 'refused'}\\n")
        sys.stdout.flush()
"""


def accepted_flips(path: Path) -> list[tuple[int, int]]:
    """Flips of one byte, half of them among keys and tensors, that the reader accepts; the file is left as it was."""
    random_source = random.Random(20)
    accepted = []
    with path.open("r+b", buffering=0) as file:
        for number in range(NUM_FLIPS):
            dense = random_source.choice(
                [random_source.randrange(3000), random_source.randrange(1766000, HEADER_BYTES)]
            )
            position = dense if number % 2 else random_source.randrange(HEADER_BYTES)
            byte = random_source.randrange(256)
            file.seek(position)
            good = file.read(1)
            file.seek(position)
            file.write(bytes([byte]))
            with contextlib.suppress(ModelFileError):
                read_header(path)
                accepted.append((position, byte))
            file.seek(position)
            file.write(good)
    return accepted


def test_llama_cpp_outlives_every_flip_that_the_reader_accepts(smollm2_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    shutil.copyfile(smollm2_path, path)
    flips = accepted_flips(path)
    assert 10 <= len(flips) < NUM_FLIPS
    done = subprocess.run(
        [sys.executable, "-c", LOADER, str(path)],
        input="".join(f"{position} {byte}\n" for position, byte in flips),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout.splitlines()[-1:] + done.stderr.splitlines()[-5:]
    assert len(done.stdout.splitlines()) == len(flips)
