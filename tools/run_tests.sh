#!/usr/bin/env bash
# Runs pytest with the arguments given, without the tests marked needs_prometheus where there is no Prometheus.
set -euo pipefail

selection=()
if ! { command -v promtool && command -v prometheus; } >/dev/null; then
    selection=(-m "not needs_prometheus")
    echo "LEFT OUT: the tests marked needs_prometheus, since promtool and prometheus are not installed." >&2
    echo "To run them too:  sudo apt-get install -y --no-install-recommends prometheus" >&2
fi
exec .venv/bin/pytest "${selection[@]}" "$@"
