#!/usr/bin/env bash
# Arrows between folders run downward only.  The build does not see a stray
# include where a header is the system's, as those of gRPC and protobuf are, and
# takes an arrow upward once somebody has added the visibility: layering.py reads
# all includes.  Then faults are planted in a copy, each of which it must find.
# Runs where the sources of all are.
set -u

readonly CHECK=$PWD/tests/layering.py
readonly COPY=$TEST_TMPDIR/copy
failures=0

fail() {
  echo "FAIL: $*"
  failures=$((failures + 1))
}

check() { /usr/bin/python3 "$CHECK"; }

# must_find FAULT: the fault is all that there is in the copy.
must_find() {
  local found
  if found=$(cd "$COPY" && check); then
    fail "not found: $1"
  elif [[ $found != "$1" ]]; then
    fail "not '$1', but: $found"
  fi
}

# planted FILE LINE FAULT: a file of the copy with one more line has this fault.
planted() {
  local file=$COPY/$1 original=
  [[ -e $file ]] && original=$(cat "$file" && echo .)
  printf '%s\n' "$2" >>"$file"
  must_find "$1: $3"
  if [[ -n $original ]]; then
    printf '%s' "${original%.}" >"$file"
  else
    rm "$file"
  fi
}

check || fail "the tree is wrong"

mkdir "$COPY"
cp -rL lib server client command_line listener_files bench docs "$COPY"
chmod -R u+w "$COPY"
(cd "$COPY" && check) || fail "the copy is wrong"

# Arrows between wings.
planted lib/base/log.cc '#include "lib/net/address.h"' \
  'includes lib/net/address.h, on which lib/base does not stand'
planted lib/connect/connect.h '#include "lib/serve/server.h"' \
  'includes lib/serve/server.h, on which lib/connect does not stand'
planted lib/serve/server.h '  #  include <server/api/names.h>' \
  'includes server/api/names.h, on which lib/serve does not stand'
planted server/handlers/pump.cc '#include "server/api/errors.h"' \
  'includes server/api/errors.h, on which server/handlers does not stand'
planted server/registry/registry.h '#include "server/calls/../calls/unary.h"' \
  'includes server/calls/unary.h, on which server/registry does not stand'
planted server/calls/answers.h '#include "client/client.h"' \
  'includes client/client.h, on which server/calls does not stand'
planted client/client.cc '#include "lib/net/address.h"' \
  'includes lib/net/address.h'
planted command_line/nearest.cc '#include "client/client.h"' \
  'includes client/client.h'
planted server/registry/registry.cc '#include "command_line/nearest.h"' \
  'includes command_line/nearest.h'
planted listener_files/utf8.cc '#include "client/client.h"' \
  'includes client/client.h'
planted listener_files/utf8.cc '#include "command_line/nearest.h"' \
  'includes command_line/nearest.h'
planted server/api/utf8.cc '#include "listener_files/utf8.h"' \
  'includes listener_files/utf8.h'
planted bench/net.cc '#include "client/client.h"' 'includes client/client.h'

planted client/cli/run.cc '#include "server/state/offline.h"' \
  'includes server/state/offline.h'
planted client/cli/state.cc '#include "server/state/database.h"' \
  'includes server/state/database.h'
planted server/state/offline.h '#include "server/state/state_rows.h"' \
  'includes server/state/state_rows.h, and the client may not see it'

# Headers of the system's.
planted lib/base/log.cc '#include <grpcpp/alarm.h>' \
  'includes grpcpp/alarm.h, and may not know gRPC'
planted listener_files/utf8.cc '#include <grpc/grpc.h>' \
  'includes grpc/grpc.h, and may not know gRPC'
planted server/control/control_table.cc '#include <grpc/grpc.h>' \
  'includes grpc/grpc.h, and may not know gRPC'
planted server/registry/registry.h '#include "server/access/gate.h"' \
  'includes server/access/gate.h, and may not know gRPC'
planted server/registry/registry.cc '#include "server/control/control_calls.h"' \
  'includes server/control/control_calls.h, and may not know gRPC'
planted server/access/policy.h '#include "portreeve/v1/event.grpc.pb.h"' \
  'includes portreeve/v1/event.grpc.pb.h, and may not know gRPC'
planted lib/net/where.h '#include "portreeve/v1/listener.pb.h"' \
  'includes portreeve/v1/listener.pb.h, and may not know protobuf'
planted server/handlers/pump.h '#include <google/protobuf/arena.h>' \
  'includes google/protobuf/arena.h, and may not know protobuf'

planted server/state/offline.h '#include "portreeve/v1/event.pb.h"' \
  'includes portreeve/v1/event.pb.h, and the client may not see it'

# What hides its name, and a file outside the wings.
planted lib/base/log.cc '#include "log.h"' \
  'includes what is no path from the root'
planted server/watch/snapshot.cc '#include SNAPSHOT_HEADER' \
  'includes what is no path from the root'
planted server/util.cc '' 'lies in no wing'
planted lib/net/where.h 'namespace portreeve::server {}' \
  'is in a namespace above lib'

# A table that is no longer true.
sed -i 's,^\(| `lib/net` .*\)| `lib/base` |$,\1| `lib/base`\, `lib/lane` |,' \
  "$COPY/docs/ARCHITECTURE.md"
must_find "docs/ARCHITECTURE.md: lib/net does not stand on lib/lane
docs/ARCHITECTURE.md: lib/net stands on lib/lane, which is not above it"

exit "$((failures > 0))"
