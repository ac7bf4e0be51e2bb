// Registry: what becomes of connections of clients that the former process
// gives away.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/guarded.h"
#include "lib/base/log.h"
#include "lib/net/close_socket.h"
#include "server/api/names.h"
#include "server/registry/moved_records.h"
#include "server/registry/registry.h"

namespace portreeve::server {

using internal::v1::HandoverMovedOn;

StreamSessionOptions Registry::SessionOptionsOf(
    const std::shared_ptr<LiveConnection>& live, bool can_move) {
  StreamSessionOptions options;
  if (live->facts.listener == nullptr) {
    options = dialler_.SessionOptionsOf(live->connection->id());
  } else {
    options.describe = [live] { return Describe(*live); };
    options.on_end = [claim = live->facts.claim](std::exception_ptr error) {
      claim->End(error);
    };
  }
  if (can_move) options.mover = &stream_moves_;
  return options;
}

std::optional<Registry::Arrival> Registry::AwaitArrival(int64_t number,
                                                        bool can_move) {
  const auto held = held_.find(number);
  if (held == held_.end()) return std::nullopt;
  const auto live = connections_.Find(number);
  if (!held->second->may_follow()) return std::nullopt;
  // It is served there, and to its end as far as this client can know.
  if (!can_move && live->facts.claim == nullptr) return std::nullopt;
  return Arrival{held->second->settled(), held->second->AwaitFirst()};
}

void Registry::OnHeldMovedOn(const HandoverMovedOn& record,
                             std::string to_write,
                             std::vector<Descriptor> descriptors) {
  const auto found = held_.find(record.id());
  const bool is_whole =
      descriptors.size() == 1 &&
      to_write.size() == static_cast<size_t>(record.num_bytes());
  if (found == held_.end() || !is_whole) {
    for (const Descriptor& fd : descriptors) MakeCloseReset(fd.get());
    OnHeldLost(record.id());
    return Log({LogLevel::kError,
                "upgrade: it does not come whole, and is reset", "",
                ConnectionName(record.id())});
  }
  const std::shared_ptr<HeldConnection> held = found->second;
  std::shared_ptr<StreamConnection> connection;
  Guarded([&] {
    auto taken = TakeMovedOn(record, *held, std::move(to_write),
                             std::move(descriptors[0]));
    if (taken.ok()) {
      connection = *std::move(taken);
    } else {
      Log({LogLevel::kError,
           absl::StrCat("upgrade: ",
                        absl::string_view(taken.status().message())),
           "", ConnectionName(record.id())});
    }
  });
  if (connection == nullptr) {
    if (descriptors[0].is_open()) MakeCloseReset(descriptors[0].get());
    return OnHeldLost(record.id());
  }
  held_.erase(record.id());
  if (held->may_follow()) {
    CountUntilClaimed(record.id());
    shared_.budget.GiveBack(1);
  }
  Guarded([&] { held->MoveTo(connection); });
}

void Registry::CountUntilClaimed(int64_t id) {
  const auto live = connections_.Find(id);
  bool counts = false;
  Guarded([&] {
    const auto less = [count = num_awaited_,
                       counted = std::make_shared<bool>(true)] {
      if (std::exchange(*counted, false)) --*count;
    };
    live->facts.claim->taken().Upon(less);
    counts = true;
    live->connection->closed().Upon(less);
  });
  if (!counts) --*num_awaited_;
}

absl::StatusOr<std::shared_ptr<StreamConnection>> Registry::TakeMovedOn(
    const HandoverMovedOn& record, const HeldConnection& held,
    std::string to_write, Descriptor fd) {
  const std::shared_ptr<LiveConnection> live = connections_.Find(held.id());
  auto claim = std::make_shared<Claim>(executor_);
  claim->was_elsewhere = record.was_claimed();
  live->facts.claim = claim;
  FrozenStream frozen = StreamOf(record, std::move(to_write));
  absl::StatusOr<std::shared_ptr<StreamConnection>> taken;
  if (live->facts.listener == nullptr) {
    taken = dialler_.TakeMovedOn(live, std::move(frozen), std::move(fd));
  } else {
    const auto id = ParseListenerName(NameOf(live->facts), "listener");
    PORTREEVE_CHECK(id.ok());
    taken = listeners_.at(*id)->TakeMovedOn(*live, std::move(frozen),
                                            std::move(fd));
  }
  if (!taken.ok()) return taken;
  // The other process has seen to it that it would be reset on its way.
  MakeCloseAnEnd((*taken)->socket()->socket().native_handle());
  live->connection = *taken;
  live->facts.is_held = false;
  // A client may come before the handler's first step.
  claim->begun = true;
  return taken;
}

void Registry::OnHeldLost(int64_t id) {
  const auto found = held_.find(id);
  if (found == held_.end()) return;
  HeldCounts last = found->second->counts();
  last.reason = CloseReason::kForced;
  last.bytes_to_write = 0;
  FinishHeld(id, last);
}

}  // namespace portreeve::server
