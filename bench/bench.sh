#!/usr/bin/env bash
# Runs the benchmark with Debian's own Python, which has matplotlib.  The
# programs are beside this one, where Bazel starts it.
set -euo pipefail
export BENCH_ROOT=$PWD
cd "${BUILD_WORKING_DIRECTORY:-$PWD}"
exec /usr/bin/python3 -B "$BENCH_ROOT/bench/run.py" "$@"
