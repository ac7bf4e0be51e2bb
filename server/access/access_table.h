// AccessTable: who may call what.  The check of calls and docs/ACCESS.md are
// both made from it.
#ifndef PORTREEVE_SERVER_ACCESS_ACCESS_TABLE_H_
#define PORTREEVE_SERVER_ACCESS_ACCESS_TABLE_H_

#include <span>
#include <string_view>

#include "portreeve/v1/policy.pb.h"

namespace portreeve::server {

struct MethodAccess {
  std::string_view service;  // "portreeve.v1.ListenerService".
  std::string_view method;   // "CreateListener"; unique over all services.
  v1::Role role;             // The lowest that may call it.
  bool changes;              // Then it is audited.
};

// Gives every method of every service of portreeve.v1, in the order of the
// protos.
std::span<const MethodAccess> AccessTable();

// Gives the row of a method; CHECKs that there is one.
const MethodAccess& AccessOf(std::string_view method);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_ACCESS_ACCESS_TABLE_H_
