// UpgradeSink: how a daemon goes on with what its former process hands over.
#ifndef PORTREEVE_SERVER_UPGRADE_UPGRADE_SINK_H_
#define PORTREEVE_SERVER_UPGRADE_UPGRADE_SINK_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/descriptor.h"
#include "lib/base/time_source.h"
#include "lib/lane/loop_group.h"
#include "lib/net/any_connection.h"
#include "portreeve/internal/v1/handover.pb.h"
#include "server/handover/handover_receiver.h"
#include "server/upgrade/upgrade_parts.h"

namespace portreeve::server {

// The parts must be new: there is no listener, no connection and no event.
//
// Threads: one that is no loop's, as TakeOver() has it.
// Lifetime: what it is made of must outlive it.
class UpgradeSink final : public HandoverSink {
 public:
  struct Options {
    std::string version;  // Of this program.
    std::string state;    // --state; empty: none.
    // As Registry::BeginStart() has it.
    std::function<void(bool)> on_health;
    // Called while the loops stand still: once all has come, when it may
    // refuse; and when this process begins to serve.
    std::function<absl::Status()> on_complete;
    std::function<void(const UpgradeSink&)> on_serve;
    // Has ids of connections go on.
    std::function<void(int64_t)> set_next_id = &AnyConnection::SetNextId;
    // How long these loops, which have nothing to do yet, may take to come to
    // rest.
    Duration most_freezing = std::chrono::seconds(2);
  };

  UpgradeSink(const UpgradeParts& parts, Options options)
      : parts_(parts), options_(std::move(options)) {}
  // Where it does not serve by now, gives up what it has.
  ~UpgradeSink() override;

  // Who has handed over.
  const internal::v1::HandoverAccepted& predecessor() const {
    return predecessor_;
  }
  // How long that serves the connections that it has kept.
  Duration drain() const { return drain_; }

  absl::Status TakeAccepted(
      const internal::v1::HandoverAccepted& accepted) override;
  absl::Status TakeCounters(
      const internal::v1::HandoverCounters& counters) override;
  absl::Status TakeListener(internal::v1::HandoverListener record,
                            std::vector<Descriptor> descriptors) override;
  absl::Status TakeControlSocket(internal::v1::HandoverControlSocket record,
                                 std::vector<Descriptor> descriptors) override;
  absl::Status TakeRequest(internal::v1::HandoverRequest record) override;
  absl::Status TakeConnection(internal::v1::HandoverConnection record,
                              std::vector<Descriptor> descriptors) override;
  absl::Status TakeEvents(internal::v1::HandoverEvents record,
                          Descriptor memfd) override;
  absl::Status TakeStore(internal::v1::HandoverStore record,
                         Descriptor lock) override;
  absl::Status Check() override;
  void BeginToServe() noexcept override;

 private:
  const UpgradeParts parts_;
  const Options options_;
  std::optional<FrozenLoops> frozen_;
  bool serves_ = false;
  bool has_state_ = false;
  internal::v1::HandoverAccepted predecessor_;
  Duration drain_{};
  int64_t last_connection_ = 0;
  internal::v1::DaemonTotals totals_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_UPGRADE_UPGRADE_SINK_H_
