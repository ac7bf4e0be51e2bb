#!/bin/bash
# Inet and Unix are two types: what mixes them does not compile.  Runs where the sources of //lib are, with the compiler of the build.
set -u

failures=0

# compiles NAME: checks the snippet on stdin; its errors are in $errors.
compiles() {
  {
    echo '#include "lib/connect/connect.h"'
    echo '#include "lib/serve/server.h"'
    echo 'using namespace portreeve;'
    cat
  } > "$TEST_TMPDIR/$1.cc"
  errors=$(clang++ -std=c++20 -fsyntax-only -I. "$TEST_TMPDIR/$1.cc" 2>&1)
}

fail() {
  echo "FAIL: $1"
  echo "$errors"
  failures=$((failures + 1))
}

# The same calls with the kinds that belong together.
compiles matching << 'EOF' || fail "matching kinds must compile"
Task<Socket<Inet>> ConnectInet(WhereToConnect<Inet> where) {
  Socket<Inet> socket = co_await ConnectSock<Inet>(where, ConnectOptions());
  co_return socket;
}
Task<Socket<Unix>> ConnectUnix(WhereToConnect<Unix> where) {
  Socket<Unix> socket = co_await ConnectSock<Unix>(where, ConnectOptions());
  co_return socket;
}
auto Serve(Executor executor, WhereToListen<Unix> where,
           Server<Unix>::Handler handler) {
  return Server<Unix>::Create(executor, where, RaiseHandlerError(), handler);
}
void Assign(WhereToConnect<Inet>& to, const WhereToConnect<Inet>& from) {
  to = from;
}
EOF

# mixing NAME ERROR: the snippet on stdin must fail with ERROR, and with errors
# in that snippet only.
mixing() {
  if compiles "$1"; then
    fail "$1 compiles"
  elif ! grep -Eq "$2" <<< "$errors"; then
    fail "$1 fails for another reason"
  elif grep 'error:' <<< "$errors" | grep -qv "/$1.cc:"; then
    fail "$1 fails outside its snippet"
  fi
}

mixing socket_of_the_other_kind \
  'no viable conversion from .*Socket<.*Inet>.* to .*Socket<.*Unix>' << 'EOF'
Task<Socket<Unix>> Connect(WhereToConnect<Inet> where) {
  Socket<Unix> socket = co_await ConnectSock<Inet>(where, ConnectOptions());
  co_return socket;
}
EOF

mixing connecting_to_the_other_kind \
  'no matching function for call to .ConnectSock.' << 'EOF'
Task<Socket<Unix>> Connect(WhereToConnect<Inet> where) {
  co_return co_await ConnectSock<Unix>(where, ConnectOptions());
}
EOF

mixing listening_on_the_other_kind \
  'no viable conversion from .*WhereToListen<.*Inet>.* to .*WhereToListen<.*Unix>' \
  << 'EOF'
auto Serve(Executor executor, WhereToListen<Inet> where,
           Server<Unix>::Handler handler) {
  return Server<Unix>::Create(executor, where, RaiseHandlerError(), handler);
}
EOF

mixing assigning_the_other_kind 'no viable overloaded .=.' << 'EOF'
void Assign(WhereToConnect<Inet>& to, const WhereToConnect<Unix>& from) {
  to = from;
}
EOF

exit "$((failures > 0))"
