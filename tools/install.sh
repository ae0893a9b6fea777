#!/usr/bin/env bash
# Makes .venv and installs the project into it, editable. The long part is llama-cpp-python, compiled from source unless
# LLAMA_WHEEL names a prebuilt wheel or pip kept the one that it built before. The log is .cache/install.log.
set -euo pipefail

PYTHON=${PYTHON:-python3}
LOG=.cache/install.log
PIP=.venv/bin/pip
export PIP_DISABLE_PIP_VERSION_CHECK=1

# Prints how long it has taken, and how far Ninja is: every second on a terminal, four times a minute into a file.
report_progress() {
    local compiled
    while sleep 1 && kill -0 $$ 2>/dev/null; do
        [[ -t 1 ]] || ((SECONDS % 15 == 0)) || continue
        compiled=$({ grep -oE '^ *\[[0-9]+/[0-9]+\]' "$LOG" || true; } | tail -n 1 | tr -d ' ')
        printf '  %d:%02d elapsed%s   %b' $((SECONDS / 60)) $((SECONDS % 60)) "${compiled:+, compiled $compiled}" "$1"
    done
}

# llama.cpp's largest files cost a compiler half a GiB: one job a GiB leaves room for the rest, and a small Pi unswapped.
jobs_that_fit() {
    local memory_gib cores
    memory_gib=$(awk '/^MemTotal:/ {print int($2 / 1048576 + 0.5)}' /proc/meminfo)
    cores=$(nproc)
    echo $((memory_gib < 1 ? 1 : memory_gib < cores ? memory_gib : cores))
}

install_project() {
    local options=(--verbose --editable .)
    if [[ -n ${LLAMA_WHEEL:-} ]]; then
        options+=(--find-links "$LLAMA_WHEEL")
    elif [[ -n ${CMAKE_ARGS:-} ]]; then
        # pip's cache does not know with which CMAKE_ARGS a wheel was built.
        options+=(--no-cache-dir)
    fi
    "$PIP" install "${options[@]}" >"$LOG" 2>&1
}

if [[ -n ${LLAMA_WHEEL:-} && ! -e $LLAMA_WHEEL ]]; then
    echo "LLAMA_WHEEL=$LLAMA_WHEEL does not exist: name a wheel file or a folder of wheels." >&2
    exit 2
fi
mkdir -p .cache
if ! "$PIP" --version >/dev/null 2>&1; then
    echo "Making .venv ..."
    rm -rf .venv
    "$PYTHON" -m venv .venv
fi
# --group, for the development tools, needs pip 25.1.
"$PIP" install --quiet --upgrade 'pip>=25.1'

if [[ -n ${LLAMA_WHEEL:-} ]]; then
    echo "Installing edge-agent with llama-cpp-python from $LLAMA_WHEEL (about a minute) ..."
else
    echo "Installing edge-agent. llama-cpp-python is compiled from source: about 3-6 minutes on a PC, 10-25 on a"
    echo "Raspberry Pi; seconds where pip has kept its wheel from an earlier time. Log: $LOG"
fi
trap 'echo; echo "Interrupted: nothing is half installed, run make again."; exit 130' INT TERM
export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(jobs_that_fit)}
: >"$LOG"
if [[ -t 1 ]]; then report_progress '\r' & else report_progress '\n' & fi
ticker=$!
trap 'kill "$ticker" 2>/dev/null || true' EXIT
if ! install_project; then
    echo
    tail -n 30 "$LOG" >&2
    echo "The installation failed; the lines above are the end of $LOG." >&2
    exit 1
fi
printf 'Installed in %d:%02d.                    \n' $((SECONDS / 60)) $((SECONDS % 60))
