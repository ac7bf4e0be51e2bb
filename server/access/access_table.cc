#include "server/access/access_table.h"

#include <algorithm>

#include "lib/base/check.h"

namespace portreeve::server {
namespace {

constexpr std::string_view kConnections = "portreeve.v1.ConnectionService";
constexpr std::string_view kDaemon = "portreeve.v1.DaemonService";
constexpr std::string_view kEvents = "portreeve.v1.EventService";
constexpr std::string_view kHandlers = "portreeve.v1.HandlerService";
constexpr std::string_view kListeners = "portreeve.v1.ListenerService";
constexpr std::string_view kStats = "portreeve.v1.StatsService";

constexpr bool kReads = false;
constexpr bool kChanges = true;

constexpr MethodAccess kTable[] = {
    {kConnections, "ListConnections", v1::ROLE_VIEWER, kReads},
    {kConnections, "GetConnection", v1::ROLE_VIEWER, kReads},
    {kConnections, "CloseConnection", v1::ROLE_OPERATOR, kChanges},
    {kConnections, "Attach", v1::ROLE_OPERATOR, kChanges},
    {kConnections, "Dial", v1::ROLE_OPERATOR, kChanges},
    {kDaemon, "GetDaemon", v1::ROLE_VIEWER, kReads},
    {kDaemon, "UpgradeDaemon", v1::ROLE_ADMIN, kChanges},
    {kEvents, "WatchEvents", v1::ROLE_VIEWER, kReads},
    {kHandlers, "Handle", v1::ROLE_OPERATOR, kChanges},
    {kListeners, "CreateListener", v1::ROLE_OPERATOR, kChanges},
    {kListeners, "GetListener", v1::ROLE_VIEWER, kReads},
    {kListeners, "ListListeners", v1::ROLE_VIEWER, kReads},
    {kListeners, "UpdateListener", v1::ROLE_OPERATOR, kChanges},
    {kListeners, "CloseListener", v1::ROLE_OPERATOR, kChanges},
    {kListeners, "IsClosed", v1::ROLE_VIEWER, kReads},
    {kListeners, "CloseFinished", v1::ROLE_VIEWER, kReads},
    {kListeners, "DeleteListener", v1::ROLE_OPERATOR, kChanges},
    {kStats, "WatchStats", v1::ROLE_VIEWER, kReads},
};

}  // namespace

std::span<const MethodAccess> AccessTable() { return kTable; }

const MethodAccess& AccessOf(std::string_view method) {
  const auto* row = std::find_if(
      std::begin(kTable), std::end(kTable),
      [method](const MethodAccess& access) { return access.method == method; });
  PORTREEVE_CHECK(row != std::end(kTable));
  return *row;
}

}  // namespace portreeve::server
