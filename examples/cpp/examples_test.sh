#!/usr/bin/env bash
# Runs both programs, the second with the daemon at $PORTREEVED.
set -euo pipefail

fail() {
  echo "FAIL: $1"
  exit 1
}

# Starts a program, and sets `line` to the first line that it prints, and `rest`
# to a descriptor of what follows.
begin() {
  exec {rest}< <(exec "$@")
  pid=$!
  read -r line <&"$rest" || fail "$1 says nothing"
}

# Ends the program that was begun last, in order; `rest_text` is what it printed.
finish() {
  kill -TERM "$pid"
  rest_text=$(cat <&"$rest")
  wait "$pid" || fail "exit status $?"
}

begin ./echo_server
[[ $line =~ ^listening\ on\ port\ ([0-9]+)$ ]] || fail "$line"
port=${BASH_REMATCH[1]}
exec {client}<>"/dev/tcp/127.0.0.1/$port"
echo one >&"$client"
read -r echoed <&"$client"
[[ $echoed == one ]] || fail "one becomes $echoed"
kill -TERM "$pid"
read -r line <&"$rest"
[[ $line == closed ]] || fail "$line"
# Who is connected goes on; nobody else comes in.
echo two >&"$client"
read -r echoed <&"$client"
[[ $echoed == two ]] || fail "two becomes $echoed"
if (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
  fail "a closed server lets a client in"
fi
exec {client}>&-
[[ $(cat <&"$rest") == "no client is left" ]] || fail "clients are left"
wait "$pid" || fail "exit status $?"

[[ -n ${PORTREEVED:-} ]] || fail "PORTREEVED is not set"
begin "$PORTREEVED" --control tcp:127.0.0.1:0
[[ $line =~ control\ (tcp:127.0.0.1:[0-9]+)$ ]] || fail "$line"
control=${BASH_REMATCH[1]}
daemon=$pid
begin ./remote_handler "$control"
[[ $line =~ listens\ on\ port\ ([0-9]+)$ ]] || fail "$line"
exec {client}<>"/dev/tcp/127.0.0.1/${BASH_REMATCH[1]}"
echo is anybody there >&"$client"
read -r echoed <&"$client"
[[ $echoed == "IS ANYBODY THERE" ]] || fail "it becomes $echoed"
exec {client}>&-
finish
pid=$daemon
kill -TERM "$pid"
wait "$pid" || fail "the daemon's exit status is $?"
echo "both examples work"
