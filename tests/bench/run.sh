#!/usr/bin/env bash
# run.sh TEST: runs a test of the benchmark's Python, whose modules stand in
# bench/, with Debian's own.
set -euo pipefail
export BENCH_ROOT=$PWD
export PYTHONDONTWRITEBYTECODE=1
PYTHONPATH=bench exec /usr/bin/python3 "tests/bench/$1"
