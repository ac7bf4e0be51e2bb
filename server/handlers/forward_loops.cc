#include "server/handlers/forward_loops.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <iterator>
#include <set>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "lib/base/asio.h"
#include "lib/net/own_addresses.h"

namespace portreeve::server {
namespace {

// Gives the address of a literal; a name may be anything.
std::optional<Inet::Address> AddressOf(const WhereToConnect<Inet>& where) {
  boost::system::error_code is_name;
  const auto address = asio::ip::make_address(where.host, is_name);
  if (is_name) return std::nullopt;
  return Inet::Address(Effective(address), static_cast<uint16_t>(where.port));
}

std::optional<ForwardLoops::UnixSocket> SocketAt(const std::string& path) {
  if (IsAbstract(path)) return path;
  struct stat file;
  if (stat(path.c_str(), &file) != 0) return std::nullopt;
  return ForwardLoops::Known(file);
}

// Gives what `fd` is bound to; nothing where that cannot be known.
std::optional<AnyAddress> NameOf(int fd) {
  asio::generic::stream_protocol::endpoint local;
  auto size = static_cast<socklen_t>(local.capacity());
  if (getsockname(fd, local.data(), &size) != 0) return std::nullopt;
  local.resize(size);
  return FromEndpoint(local);
}

uint16_t PortOf(const AnyAddress& address) {
  return std::get<Inet::Address>(address).port();
}

// Each is an address that some listener forwards to; mostly there is one.
constexpr size_t kMostElsewhere = 64;

bool Takes(const Inet::Address& listening, const Inet::Address& upstream,
           Families families,
           absl::FunctionRef<bool(const asio::ip::address&)> is_local) {
  if (listening.port() != upstream.port() || upstream.port() == 0) return false;
  const asio::ip::address at = Unmapped(listening.address());
  const asio::ip::address to = Effective(upstream.address());
  if (at.is_v4() != to.is_v4() &&
      !(at.is_v6() && families == Families::kBoth)) {
    return false;
  }
  return at == to || (at.is_unspecified() && is_local(to));
}

}  // namespace

bool Takes(const Inet::Address& listening, const Inet::Address& upstream,
           Families families) {
  return Takes(listening, upstream, families, &IsOfThisMachine);
}

bool Takes(const Inet::Address& listening, const WhereToConnect<Inet>& upstream,
           Families families) {
  const auto address = AddressOf(upstream);
  return address && Takes(listening, *address, families);
}

void ForwardLoops::SetPort(uint16_t port, bool has_listener) {
  const uint64_t bit = uint64_t{1} << port % 64;
  if (has_listener) {
    ports_[port / 64] |= bit;
  } else {
    ports_[port / 64] &= ~bit;
  }
}

void ForwardLoops::Open(Id id, Listener listener) {
  const MutexLock lock(mutex_);
  if (const auto old = listeners_.find(id); old != listeners_.end()) {
    Forget(old);
  }
  Entry entry{std::move(listener), std::nullopt};
  const auto* const inet = std::get_if<Inet::Address>(&entry.listener.address);
  if (inet == nullptr) {
    entry.unix_socket =
        SocketAt(std::get<Unix::Address>(entry.listener.address).path());
    listeners_.emplace(id, std::move(entry));
    ++num_files_;
    return;
  }
  const uint16_t port = inet->port();
  const auto added = listeners_.emplace(id, std::move(entry)).first;
  // What is found by its port is in listeners_.
  absl::Cleanup undo = [&]() PORTREEVE_REQUIRES(mutex_) {
    listeners_.erase(added);
  };
  by_port_.emplace(port, id);
  std::move(undo).Cancel();
  SetPort(port, true);
}

void ForwardLoops::Close(Id id) {
  const MutexLock lock(mutex_);
  const auto found = listeners_.find(id);
  if (found != listeners_.end()) Forget(found);
}

void ForwardLoops::Forget(std::map<Id, Entry>::iterator entry) {
  const AnyAddress& address = entry->second.listener.address;
  if (std::holds_alternative<Inet::Address>(address)) {
    const uint16_t port = PortOf(address);
    const auto [first, last] = by_port_.equal_range(port);
    for (auto it = first; it != last; ++it) {
      if (it->second == entry->first) {
        by_port_.erase(it);
        break;
      }
    }
    SetPort(port, by_port_.count(port) > 0);
  } else {
    --num_files_;
  }
  listeners_.erase(entry);
}

ForwardLoops::Id ForwardLoops::Find(const Inet::Address& address,
                                    IsLocalRef is_local) const {
  const auto [first, last] = by_port_.equal_range(address.port());
  for (auto it = first; it != last; ++it) {
    const Listener& listener = listeners_.at(it->second).listener;
    if (listener.is_alone && Takes(std::get<Inet::Address>(listener.address),
                                   address, listener.families, is_local)) {
      return it->second;
    }
  }
  return 0;
}

ForwardLoops::Id ForwardLoops::Find(const UnixSocket& socket) const {
  for (const auto& [id, entry] : listeners_) {
    if (entry.unix_socket == socket) return id;
  }
  return 0;
}

ForwardLoops::Id ForwardLoops::Find(const Upstream& upstream) const {
  if (const auto* inet = std::get_if<WhereToConnect<Inet>>(&upstream)) {
    const auto address = AddressOf(*inet);
    return address && HasPort(address->port()) ? Find(*address, is_local_) : 0;
  }
  if (!has_files()) return 0;
  const auto socket = SocketAt(std::get<WhereToConnect<Unix>>(upstream).path);
  return socket ? Find(*socket) : 0;
}

bool ForwardLoops::IsLocalOfLate(const asio::ip::address& address,
                                 TimePoint now) {
  const auto known = elsewhere_.find(address);
  if (known != elsewhere_.end() && now < known->second) return false;
  if (is_local_(address)) return true;
  if (elsewhere_.size() >= kMostElsewhere) elsewhere_.clear();
  elsewhere_[address] = After(now, kElsewhere);
  return false;
}

bool ForwardLoops::LeadsTo(
    Upstream upstream,
    absl::FunctionRef<bool(const Upstream&)> is_reached) const {
  const MutexLock lock(mutex_);
  std::set<Id> seen;
  while (!is_reached(upstream)) {
    const Id next = Find(upstream);
    // A circle that does not lead here does not concern this listener.
    if (next == 0 || !seen.insert(next).second) return false;
    upstream = listeners_.at(next).listener.upstream;
  }
  return true;
}

ForwardLoops::SharedPassed ForwardLoops::PassedBy(
    const AnyAddress& peer, const AnyAddress& local) const {
  const auto* file = std::get_if<Unix::Address>(&peer);
  if (file != nullptr && file->path().empty()) return nullptr;
  // This waits for a connection that is just being made.
  const MutexLock lock(mutex_);
  const auto found = connections_.find(
      file != nullptr ? Ends(peer, AnyAddress()) : Ends(peer, local));
  return found == connections_.end() ? nullptr : found->second;
}

ForwardTrail::ForwardTrail(ForwardLoops& loops, ForwardLoops::Id own,
                           ForwardLoops::SharedPassed before)
    : loops_(loops),
      passed_(std::make_shared<const ForwardLoops::Passed>(
          ForwardLoops::Passed{own, std::move(before)})) {}

bool ForwardTrail::is_loop() const {
  for (auto* at = passed_->before.get(); at; at = at->before.get()) {
    if (at->listener == passed_->listener) return true;
  }
  return false;
}

bool ForwardTrail::HasPassed(ForwardLoops::Id id) const {
  for (auto* at = passed_.get(); at != nullptr; at = at->before.get()) {
    if (at->listener == id) return true;
  }
  return false;
}

bool ForwardTrail::LeadsBack(const Inet::Address& peer, TimePoint now) const {
  const MutexLock lock(loops_.mutex_);
  const auto is_local = [this, now](const asio::ip::address& address)
                            PORTREEVE_REQUIRES(loops_.mutex_) {
                              return loops_.IsLocalOfLate(address, now);
                            };
  return HasPassed(loops_.Find(peer, is_local));
}

bool ForwardTrail::LeadsBack(const ForwardLoops::UnixSocket& socket) const {
  const MutexLock lock(loops_.mutex_);
  return HasPassed(loops_.Find(socket));
}

bool ForwardTrail::LeadsToListener(
    const ForwardLoops::UnixSocket& socket) const {
  const MutexLock lock(loops_.mutex_);
  return loops_.Find(socket) != 0;
}

bool ForwardTrail::ConcernsOthers(TimePoint now) const {
  if (passed_->before != nullptr) return true;
  const MutexLock lock(loops_.mutex_);
  const auto is_local = [this, now](const asio::ip::address& address)
                            PORTREEVE_REQUIRES(loops_.mutex_) {
                              return loops_.IsLocalOfLate(address, now);
                            };
  for (const auto& [ends, fd] : connections_) {
    const auto* const peer = std::get_if<Inet::Address>(&ends.second);
    // Only those to listeners were given a name.
    if (std::holds_alternative<Unix::Address>(ends.first)) return true;
    if (peer != nullptr && loops_.Find(*peer, is_local) != 0) return true;
  }
  return false;
}

void ForwardTrail::Connect(const Inet::Address& peer,
                           absl::FunctionRef<int()> connect) {
  // Over loopback the other side can have accepted it before connect(2)
  // returns: it waits for this lock, once it sees that there is a connection.
  ++loops_.num_connections_;
  bool is_one_more = false;
  const absl::Cleanup count = [&] {
    if (!is_one_more) --loops_.num_connections_;
  };
  const MutexLock lock(loops_.mutex_);
  const int fd = connect();
  const auto local = fd >= 0 ? NameOf(fd) : std::nullopt;
  if (!local) return;
  const ForwardLoops::Ends ends(*local, AnyAddress(peer));
  ForgetDescriptor(fd);  // An attempt that had it before has failed.
  // Here first: what is not found there is forgotten all the same.
  connections_[ends] = fd;
  // One that had the same ends is closed by now.
  is_one_more = loops_.connections_.insert_or_assign(ends, passed_).second;
}

int ForwardTrail::GiveName(int fd) {
  // Without a path the kernel chooses a name that is no file's.
  sockaddr_un any{};
  any.sun_family = AF_UNIX;
  if (bind(fd, reinterpret_cast<const sockaddr*>(&any),
           sizeof any.sun_family) != 0) {
    return errno;
  }
  const auto name = NameOf(fd);
  if (!name) return errno;
  const MutexLock lock(loops_.mutex_);
  const ForwardLoops::Ends ends(*name, AnyAddress());
  connections_[ends] = fd;
  if (loops_.connections_.insert_or_assign(ends, passed_).second) {
    ++loops_.num_connections_;
  }
  return 0;
}

void ForwardTrail::KeepOnly(int fd) {
  if (connections_.empty()) return;
  const MutexLock lock(loops_.mutex_);
  ForgetIf([fd](int other) { return other != fd; });
}

void ForwardTrail::ForgetDescriptor(int fd) {
  ForgetIf([fd](int other) { return other == fd; });
}

void ForwardTrail::ForgetIf(absl::FunctionRef<bool(int fd)> is_over) {
  for (auto it = connections_.begin(); it != connections_.end();) {
    if (!is_over(it->second)) {
      ++it;
      continue;
    }
    const auto found = loops_.connections_.find(it->first);
    if (found != loops_.connections_.end() && found->second == passed_) {
      loops_.connections_.erase(found);
      --loops_.num_connections_;
    }
    it = connections_.erase(it);
  }
}

}  // namespace portreeve::server
