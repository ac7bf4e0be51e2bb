#!/usr/bin/env bash
# The types of the page's modules, as their comments have them, fit; and one that
# does not is found.
set -euo pipefail
readonly TSC=$PWD/../page_node_modules/node_modules/typescript/bin/tsc
readonly COPY=$TEST_TMPDIR/copy
mkdir -p "$COPY/server/page" "$COPY/tests/page"
cp -L server/page/*.js "$COPY/server/page"
cp -L tests/page/tsconfig.json "$COPY/tests/page"
node "$TSC" -p "$COPY/tests/page/tsconfig.json"

echo 'export const wrong = clock(7);' >>"$COPY/server/page/format.js"
if node "$TSC" -p "$COPY/tests/page/tsconfig.json" >"$TEST_TMPDIR/found"; then
  echo "FAIL: a number as a time is not found"
  exit 1
fi
grep -q "format.js.*'number' is not assignable to .*'string'" "$TEST_TMPDIR/found"
