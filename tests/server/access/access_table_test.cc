// The table of who may call what has what the protos have.
#include "server/access/access_table.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "portreeve/v1/connection.pb.h"
#include "portreeve/v1/daemon.pb.h"
#include "portreeve/v1/event.pb.h"
#include "portreeve/v1/handler.pb.h"
#include "portreeve/v1/listener.pb.h"
#include "portreeve/v1/stats.pb.h"

namespace portreeve::server {
namespace {

// "SERVICE/METHOD", in the order of the protos by name.
std::vector<std::string> MethodsOfProtos() {
  std::vector<std::string> methods;
  for (const auto* file :
       {v1::Connection::descriptor()->file(), v1::Daemon::descriptor()->file(),
        v1::Event::descriptor()->file(),
        v1::HandleRequest::descriptor()->file(),
        v1::Listener::descriptor()->file(), v1::Policy::descriptor()->file(),
        v1::WatchStatsResponse::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      const auto* service = file->service(s);
      for (int m = 0; m < service->method_count(); ++m) {
        methods.push_back(service->full_name() + "/" +
                          service->method(m)->name());
      }
    }
  }
  return methods;
}

TEST(AccessTableTest, HasEveryMethodOnceAndNoOther) {
  std::vector<std::string> rows;
  for (const MethodAccess& access : AccessTable()) {
    rows.push_back(std::string(access.service) + "/" +
                   std::string(access.method));
  }
  EXPECT_GE(rows.size(), 15u);
  EXPECT_EQ(rows, MethodsOfProtos());
}

TEST(AccessTableTest, MethodsAreKnownByTheirNamesAlone) {
  std::set<std::string_view> names;
  for (const MethodAccess& access : AccessTable()) {
    EXPECT_TRUE(names.insert(access.method).second) << access.method;
    EXPECT_EQ(&AccessOf(access.method), &access);
  }
}

TEST(AccessTableTest, AViewerChangesNothing) {
  for (const MethodAccess& access : AccessTable()) {
    const bool is_admins = access.method == "UpgradeDaemon";
    EXPECT_EQ(access.role, is_admins        ? v1::ROLE_ADMIN
                           : access.changes ? v1::ROLE_OPERATOR
                                            : v1::ROLE_VIEWER)
        << access.method;
  }
}

TEST(AccessTableDeathTest, AnUnknownMethodIsABug) {
  EXPECT_DEATH(AccessOf("Createlistener"), "CHECK failed");
}

}  // namespace
}  // namespace portreeve::server
