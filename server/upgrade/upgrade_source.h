// UpgradeSource: what a daemon hands over to its next process.
#ifndef PORTREEVE_SERVER_UPGRADE_UPGRADE_SOURCE_H_
#define PORTREEVE_SERVER_UPGRADE_UPGRADE_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/time_source.h"
#include "lib/lane/loop_group.h"
#include "portreeve/internal/v1/handover.pb.h"
#include "server/handover/handover_sender.h"
#include "server/registry/registry.h"
#include "server/registry/shared.h"
#include "server/upgrade/own_sockets.h"
#include "server/upgrade/upgrade_parts.h"

namespace portreeve::server {

// Connections of the built-in handlers move.  Every other one, and those of
// them that cannot (MovingConnection::Freeze()), are held: they stay here, and
// are served to their end.
//
// Threads: one that is no loop's, as HandOver() has it.
// Lifetime: what it is made of must outlive it, and what it posts to the loop.
class UpgradeSource final : public HandoverSource {
 public:
  struct Options {
    // Of the state; unset without one.
    std::optional<internal::v1::HandoverDirectory> state;
    // Who is told of the connections from the change on; null: nobody.
    ConnectionReports* successor = nullptr;
    // How long connections may go on here after that.
    Duration drain{};
    // Called while the loops stand still, once the successor serves.
    std::function<void()> on_handed_over;
    // Whether connections may move; else all are held.
    bool may_move = true;
  };

  UpgradeSource(const UpgradeParts& parts, Options options)
      : parts_(parts), options_(std::move(options)) {}

  // How many connections it has sent of each kind.
  int64_t num_held() const { return num_held_; }
  int64_t num_moving() const { return num_moving_; }

  // Whether the successor goes on with connections.
  bool takes_connections() const { return takes_connections_; }

  void OnHello(const internal::v1::HandoverHello& hello) override;
  int64_t CountDescriptors() override;
  absl::Status Freeze(TimePoint deadline) override;
  absl::StatusOr<internal::v1::HandoverCounters> Counters() override;
  absl::StatusOr<std::optional<SourceRecord<internal::v1::HandoverListener>>>
  NextListener() override;
  absl::StatusOr<
      std::optional<SourceRecord<internal::v1::HandoverControlSocket>>>
  NextControlSocket() override;
  absl::StatusOr<std::optional<SourceRecord<internal::v1::HandoverRequest>>>
  NextRequest() override;
  absl::StatusOr<std::optional<SourceRecord<internal::v1::HandoverConnection>>>
  NextConnection() override;
  absl::StatusOr<Events> TakeEvents() override;
  absl::StatusOr<std::optional<SourceRecord<internal::v1::HandoverStore>>>
  Store() override;
  void Thaw(HandoverStep step, const std::string& reason) noexcept override;
  void HandedOver() noexcept override;

 private:
  absl::Status Suspend(TimePoint deadline);

  const UpgradeParts parts_;
  const Options options_;
  bool takes_connections_ = false;
  bool suspended_ = false;  // Or was to be.
  std::optional<FrozenLoops> frozen_;

  // How /metrics shows a listener, by uid.
  using Series = internal::v1::HandoverListener::Series;
  std::unordered_map<std::string, Series> series_;
  // What comes next of each kind.
  Registry::Listeners::const_iterator next_listener_;
  std::vector<OwnSocket> sockets_;
  size_t next_socket_ = 0;
  std::vector<internal::v1::HandoverRequest> requests_;
  size_t next_request_ = 0;
  ConnectionTable::Entries::const_iterator next_connection_;
  int64_t num_held_ = 0;
  int64_t num_moving_ = 0;
  std::vector<Registry::Moving> moving_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_UPGRADE_UPGRADE_SOURCE_H_
