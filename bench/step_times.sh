#!/usr/bin/env bash
# Measures the steps of the loop with Debian's own Python.  The programs are
# beside this one, where Bazel starts it.
set -euo pipefail
export BENCH_ROOT=$PWD
cd "${BUILD_WORKING_DIRECTORY:-$PWD}"
exec /usr/bin/python3 -B "$BENCH_ROOT/bench/step_times.py" "$@"
