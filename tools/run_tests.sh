#!/usr/bin/env bash
# Runs pytest with the arguments given, without the tests that need a program which is not here (tools/test_programs),
# or root, which booting hosts needs. What is left out is said aloud, before and after. Needs nothing but bash itself.
set -euo pipefail

declare -A left_out=() packages=()
while read -r marker program package; do
    [[ $marker != \#* ]] || continue
    command -v "$program" >/dev/null && continue
    left_out[$marker]=1
    packages[$package]=1
done <"${0%/*}/test_programs"
((EUID == 0)) || left_out[needs_fleet]=1

say_what_is_left_out() {
    local marker
    for marker in "${!left_out[@]}"; do
        echo "LEFT OUT: the tests marked $marker" >&2
    done
    if ((${#packages[@]} > 0)); then
        echo "To run them too:  sudo apt-get install -y --no-install-recommends ${!packages[*]}" >&2
    fi
    ((EUID == 0)) || echo "Tests marked needs_fleet boot hosts, which only root may." >&2
}

if ((${#left_out[@]} == 0)); then
    exec .venv/bin/pytest "$@"
fi
selection=""
for marker in "${!left_out[@]}"; do
    selection+="${selection:+ and }not $marker"
done
say_what_is_left_out
status=0
.venv/bin/pytest -m "$selection" "$@" || status=$?
say_what_is_left_out
exit "$status"
