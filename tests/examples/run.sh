#!/usr/bin/env bash
# run.sh TEST LANGUAGE: runs a test with Debian's own Python, whose grpcio it
# and the examples in Python need.
set -euo pipefail
stubs=tests/integration
export EXAMPLES_PYTHON=$TEST_TMPDIR/python
export PORTREEVE_PROTO=proto
export NODE_PATH=$PWD/../example_node_modules/node_modules
export PYTHONDONTWRITEBYTECODE=1
# Examples and stubs in one folder, as the README of the examples has it.
mkdir -p "$EXAMPLES_PYTHON"
cp -rL examples/python/. "$EXAMPLES_PYTHON"
cp -rL "$stubs/google" "$EXAMPLES_PYTHON"
cp -rL "$stubs/portreeve/v1" "$EXAMPLES_PYTHON/portreeve"
PYTHONPATH=$EXAMPLES_PYTHON exec /usr/bin/python3 "tests/examples/$1" "$2"
