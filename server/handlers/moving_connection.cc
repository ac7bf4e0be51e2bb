#include "server/handlers/moving_connection.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <iterator>
#include <map>
#include <optional>
#include <utility>
#include <variant>

#include "lib/base/status.h"
#include "lib/net/address.h"
#include "lib/net/where.h"
#include "server/handlers/handlers.h"
#include "server/handlers/pump.h"

namespace portreeve::server {
namespace {

absl::Status Wrong(absl::string_view what) {
  return InvalidField("descriptors", what);
}

int OptionOf(const Descriptor& socket, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  (void)getsockopt(socket.get(), SOL_SOCKET, option, &value, &size);
  return value;
}

bool IsStream(const Descriptor& socket, bool is_unix) {
  if (OptionOf(socket, SO_TYPE) != SOCK_STREAM) return false;
  return (OptionOf(socket, SO_DOMAIN) == AF_UNIX) == is_unix;
}

bool HasMode(const Descriptor& end, int mode) {
  const int flags = fcntl(end.get(), F_GETFL);
  return flags >= 0 && (flags & O_ACCMODE) == mode;
}

// Whether the two are the ends of one pipe, with as many bytes in it.
bool IsPipeWith(const Descriptor& read, const Descriptor& write,
                uint32_t bytes) {
  struct stat first, second;
  int held = -1;
  return fstat(read.get(), &first) == 0 && S_ISFIFO(first.st_mode) &&
         fstat(write.get(), &second) == 0 && first.st_ino == second.st_ino &&
         first.st_dev == second.st_dev && HasMode(read, O_RDONLY) &&
         HasMode(write, O_WRONLY) && ioctl(read.get(), FIONREAD, &held) == 0 &&
         held >= 0 && static_cast<uint32_t>(held) == bytes;
}

absl::Status Check(const FrozenConnection& frozen,
                   const std::vector<Descriptor>& descriptors) {
  if (descriptors.size() != NumDescriptors(frozen)) {
    return Wrong("must be as many as it has");
  }
  const bool is_unix =
      std::holds_alternative<Unix::Address>(frozen.direct.peer);
  if (!IsStream(descriptors[0], is_unix)) {
    return Wrong("must begin with the client");
  }
  size_t next = 1;
  if (NumSockets(frozen) == 2) {
    const auto& forward = std::get<FrozenForward>(frozen.handler);
    if (!IsStream(descriptors[next++], forward.is_unix)) {
      return Wrong("must have the upstream");
    }
  }
  for (const FrozenFlow* flow : FlowsOf(frozen)) {
    const FrozenPump& pump = flow->pump;
    if (pump.in_pipe > 0 && !pump.copy.empty()) {
      return Wrong("must be none where a copy is held");
    }
    if (pump.in_pipe > Pump::kMostHeld || pump.copy.size() > Pump::kMostHeld ||
        pump.received < static_cast<int64_t>(pump.in_pipe + pump.copy.size())) {
      return Wrong("must not hold more than there can be");
    }
    if (pump.in_pipe == 0) continue;
    if (!IsPipeWith(descriptors[next], descriptors[next + 1], pump.in_pipe)) {
      return Wrong("must have the pipe, with the bytes in it");
    }
    next += 2;
  }
  return absl::OkStatus();
}

}  // namespace

int NumCounted(const FrozenConnection& frozen) {
  return std::holds_alternative<FrozenForward>(frozen.handler) ? 2 : 1;
}

int NumSockets(const FrozenConnection& frozen) {
  const auto* const forward = std::get_if<FrozenForward>(&frozen.handler);
  if (forward == nullptr) return 1;
  return forward->connecting && !forward->connecting->has_socket ? 1 : 2;
}

size_t NumDescriptors(const FrozenConnection& frozen) {
  size_t count = static_cast<size_t>(NumSockets(frozen));
  for (const FrozenFlow* flow : FlowsOf(frozen)) {
    if (flow->pump.in_pipe > 0) count += 2;
  }
  return count;
}

std::vector<const FrozenFlow*> FlowsOf(const FrozenConnection& frozen) {
  if (const auto* echo = std::get_if<FrozenEcho>(&frozen.handler)) {
    return {&echo->flow};
  }
  if (const auto* forward = std::get_if<FrozenForward>(&frozen.handler)) {
    return {&forward->to_upstream, &forward->to_client};
  }
  return {};
}

std::optional<Moving> FreezeConnection(const AnyConnection& connection) {
  const auto* moving = dynamic_cast<const MovingConnection*>(&connection);
  return moving == nullptr ? std::nullopt : moving->Freeze();
}

// What connections to upstreams of one kind share, by the kind and the age
// limit.
struct ConnectionMover::Routes {
  std::map<std::pair<bool, std::optional<Duration>>, RestoreForward> known;

  const RestoreForward& For(const FrozenForward& frozen) {
    const auto& limit = frozen.upstream_age_limit;
    RestoreForward& route = known[{frozen.is_unix, limit.at_most()}];
    if (route) return route;
    ForwardOptions options;
    if (frozen.is_unix) options.upstream = WhereToConnect<Unix>();
    options.buffer_age_limit = limit;
    return route = ForwardRestorer(std::move(options));
  }
};

ConnectionMover::ConnectionMover() : routes_(std::make_unique<Routes>()) {}
ConnectionMover::~ConnectionMover() = default;

absl::StatusOr<std::shared_ptr<DirectConnection>> ConnectionMover::Add(
    AnyServer& server, const FrozenConnection& frozen,
    std::vector<Descriptor> descriptors, const RestoreForward& own) {
  if (auto s = Check(frozen, descriptors); !s.ok()) return s;
  const auto* const forward = std::get_if<FrozenForward>(&frozen.handler);
  if (forward != nullptr && forward->connecting && own == nullptr) {
    return InvalidField("forward", "must be there for one that connects");
  }
  std::vector<Descriptor> others(
      std::make_move_iterator(descriptors.begin() + 1),
      std::make_move_iterator(descriptors.end()));
  const auto make = [&](DirectConnection::Accepted accepted)
      -> std::shared_ptr<DirectConnection> {
    if (const auto* echo = std::get_if<FrozenEcho>(&frozen.handler)) {
      return RestoreEcho(std::move(accepted), frozen.direct, *echo,
                         std::move(others));
    }
    if (const auto* discard = std::get_if<FrozenDiscard>(&frozen.handler)) {
      return RestoreDiscard(std::move(accepted), frozen.direct, *discard);
    }
    const RestoreForward& restore =
        forward->connecting ? own : routes_->For(*forward);
    return restore(std::move(accepted), frozen.direct, *forward,
                   std::move(others));
  };
  return server.AddMoved(frozen.direct, std::move(descriptors[0]),
                         NumCounted(frozen), make);
}

}  // namespace portreeve::server
