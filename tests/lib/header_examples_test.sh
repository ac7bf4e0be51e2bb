#!/bin/bash
# The examples at the top of headers are true: each line of them stands, in the
# same order, in a test that runs them.  Runs where the sources of //lib and of
# their tests are.
set -u

failures=0

# same HEADER TEST: the lines of HEADER's first comment that are indented by
# three or more are in TEST, but for empty ones and their indentation.
same() {
  local missing
  missing=$(awk '
    { sub(/^\/\/   /, "") ? example = 1 : example = 0 }
    FILENAME == ARGV[1] {
      if (!in_header_done && /^#ifndef/) in_header_done = 1
      if (!in_header_done && example && NF) { $1 = $1; wanted[++count] = $0 }
      next
    }
    { $1 = $1 }
    found < count && $0 == wanted[found + 1] { ++found }
    END {
      if (count < 8) print "only " count + 0 " lines of example"
      else if (found < count) print "not in the test: " wanted[found + 1]
    }
  ' "$1" "$2")
  [ -z "$missing" ] && return
  echo "FAIL: $1: $missing"
  failures=$((failures + 1))
}

same lib/base/task_scope.h tests/lib/base/task_scope_example_test.cc
same lib/connect/connect.h tests/lib/connect/connect_example_test.cc
same lib/serve/server.h tests/lib/serve/server_example_test.cc

exit "$((failures > 0))"
