#!/usr/bin/env bash
# bench.sh PROGRAM [ARGUMENT ...]: runs one of the programs in Python that stand
# beside it with Debian's own, which has matplotlib.  The programs that those
# start are where Bazel starts this one.
set -euo pipefail
export BENCH_ROOT=$PWD
cd "${BUILD_WORKING_DIRECTORY:-$PWD}"
exec /usr/bin/python3 -B "$BENCH_ROOT/bench/$1" "${@:2}"
