#!/usr/bin/env bash
# Sees to the system packages that `make serve` or `make test` (the argument) needs. Root on Debian or Raspberry Pi OS:
# installs what is missing through apt-get. Anyone else is told the command: a missing compiler ends with 2, a program
# that only tests need does not, since run_tests.sh leaves these tests out and says so.
set -euo pipefail

PYTHON=${PYTHON:-python3}

python_answers() {
    "$PYTHON" -c "$1" >/dev/null 2>&1
}

missing_test_packages() {
    local marker program package
    declare -A missing=()
    while read -r marker program package; do
        [[ $marker == \#* ]] || command -v "$program" >/dev/null || missing[$package]=1
    done <"${0%/*}/test_programs"
    ((${#missing[@]} == 0)) || printf '%s\n' "${!missing[@]}"
}

missing_packages() {
    case $1 in
        serve)
            python_answers 'import ensurepip, venv' || echo python3-venv
            # A prebuilt wheel needs no compiler. CMake and Ninja come from PyPI where the system has none.
            [[ -n ${LLAMA_WHEEL:-} ]] || command -v c++ >/dev/null || echo build-essential
            ;;
        test)
            missing_test_packages
            ;;
    esac
}

# Packages that hold a service would start it, now and at each boot: a test wants only the program.
install_without_starting_services() {
    local policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        # shellcheck disable=SC2064 # expanded now: the variable is gone when the trap runs
        trap "rm -f $policy" EXIT
        trap 'exit 130' INT TERM
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    local package
    for package in prometheus prometheus-alertmanager victoria-metrics; do
        if [[ " $* " == *" $package "* ]] && command -v systemctl >/dev/null; then
            systemctl disable --quiet "$package"
        fi
    done
}

refuse_old_python() {
    if python_answers 'import sys' && ! python_answers 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "$("$PYTHON" --version) is too old: edge-agent needs Python 3.11 or newer." >&2
        echo "Where one is installed beside it, name it:  make $1 PYTHON=python3.11" >&2
        exit 2
    fi
}

refuse_old_python "$1"
mapfile -t missing < <(missing_packages "$1")
if ((${#missing[@]} == 0)); then
    exit 0
fi
if command -v apt-get >/dev/null && ((EUID == 0)); then
    echo "Installing ${missing[*]} through apt-get (a minute or two) ..."
    install_without_starting_services "${missing[@]}"
    refuse_old_python "$1"
elif [[ $1 == serve ]]; then
    echo "Missing on this system: ${missing[*]} (as Debian names them)." >&2
    echo "Install them, then run make again:  sudo apt-get update && sudo apt-get install -y ${missing[*]}" >&2
    exit 2
fi
