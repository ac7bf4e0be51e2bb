#include "lib/cares_resolver.h"

#include <ares.h>
#include <netinet/in.h>

#include <algorithm>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/deferred.h"
#include "lib/status.h"
#include "lib/time_source.h"

namespace portreeve {
namespace {

using Addresses = std::vector<asio::ip::address>;
using Descriptor =
    asio::posix::basic_stream_descriptor<asio::io_context::executor_type>;

// Gives c-ares' result.
int InitialiseCaresOnce() {
  // Never undone: other loops may use it until the end of the process.
  static const int result = ares_library_init(ARES_LIB_INIT_ALL);
  return result;
}

absl::Status LookupError(const std::string& host, int result) {
  ErrorDetail detail;
  detail.reason = Reason::kDnsFailure;
  return MakeError(absl::StatusCode::kUnavailable, detail,
                   absl::StrCat("resolve ", host, ": ", ares_strerror(result)));
}

// "localhost" and all below it is this machine, whatever a server says (RFC
// 6761, section 6.3).  Not left to c-ares: 1.18 asks servers for the family
// that /etc/hosts lacks, and loses memory on the way.
bool IsLocalhost(absl::string_view host) {
  absl::ConsumeSuffix(&host, ".");
  return absl::EqualsIgnoreCase(host, "localhost") ||
         absl::EndsWithIgnoreCase(host, ".localhost");
}

asio::ip::address Loopback(Resolver::Family family) {
  if (family == Resolver::Family::kV4) return asio::ip::address_v4::loopback();
  return asio::ip::address_v6::loopback();
}

// Nothing where it is of neither family.
std::optional<asio::ip::address> FromSockaddr(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, address, sizeof(in));
    return asio::ip::address_v4(ntohl(in.sin_addr.s_addr));
  }
  if (address->sa_family != AF_INET6) return std::nullopt;
  sockaddr_in6 in6;
  std::memcpy(&in6, address, sizeof(in6));
  asio::ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), &in6.sin6_addr, bytes.size());
  return asio::ip::address_v6(bytes, in6.sin6_scope_id);
}

// One socket of c-ares, which opens and closes it; this only watches.
struct Watch {
  Watch(asio::io_context& loop, int fd) : descriptor(loop) {
    error_code ignored;  // Then the query ends by its timeout.
    descriptor.assign(fd, ignored);
  }
  ~Watch() { Release(); }

  void Release() {
    if (descriptor.is_open()) descriptor.release();
  }

  struct Direction {
    bool wanted = false;
    bool waiting = false;
  };

  Descriptor descriptor;
  Direction read, write;
};

}  // namespace

// The lookups of one name, which share their sockets.  Destroying it abandons
// them at once: the sockets are closed, and what was left in the loop's queue
// finds it gone.
class CaresLookup : public std::enable_shared_from_this<CaresLookup> {
 public:
  // The lookup of one family.
  struct Query {
    explicit Query(const Executor& executor) : done(executor) {}

    const Ivar<int> done;  // At the end, with c-ares' result.
    Addresses addresses;
  };

  CaresLookup(const Executor& executor, std::string host)
      : executor_(executor),
        loop_(LoopOf(executor)),
        host_(std::move(host)),
        began_(TimeSource::Of(executor).Now()),
        timer_(TimeSource::Of(executor)) {}
  CaresLookup(const CaresLookup&) = delete;
  CaresLookup& operator=(const CaresLookup&) = delete;
  ~CaresLookup() { CloseChannel(); }

  TimePoint began() const { return began_; }

  // Asks the servers, whoever else has asked them: what was sent while one was
  // away is sent again after a long pause only.
  std::shared_ptr<const Query> Ask(const CaresResolver::Options& options,
                                   Resolver::Family family) {
    const auto query = std::make_shared<Query>(executor_);
    const int result = Open(options);
    if (result != ARES_SUCCESS) {
      query->done.Fill(result);
      return query;
    }
    ares_addrinfo_hints hints{};
    hints.ai_family = family == Resolver::Family::kV4 ? AF_INET : AF_INET6;
    hints.ai_socktype = SOCK_STREAM;  // Each address once.
    // The variable CARES_HOSTS may name another file than /etc/hosts.
    hints.ai_flags = ARES_AI_ENVHOSTS;
    ++num_running_;
    ares_getaddrinfo(channel_, host_.c_str(), nullptr, &hints, &OnDone,
                     new Asked{*this, query});
    WaitForMore();
    return query;
  }

 private:
  // What c-ares is given with a query.
  struct Asked {
    CaresLookup& lookup;
    std::shared_ptr<Query> query;
  };

  int Open(const CaresResolver::Options& options) {
    if (channel_ != nullptr) return ARES_SUCCESS;
    if (const int result = InitialiseCaresOnce(); result != ARES_SUCCESS) {
      return result;
    }
    ares_options own{};
    own.sock_state_cb = &OnSocketState;
    own.sock_state_cb_data = this;
    int result = ares_init_options(&channel_, &own, ARES_OPT_SOCK_STATE_CB);
    if (result == ARES_SUCCESS && !options.servers.empty()) {
      result = ares_set_servers_ports_csv(channel_, options.servers.c_str());
    }
    if (result != ARES_SUCCESS) CloseChannel();
    return result;
  }

  void CloseChannel() {
    if (channel_ != nullptr) ares_destroy(std::exchange(channel_, nullptr));
  }

  // Called once for each query, with what it was given then.
  static void OnDone(void* asked, int result, int /*timeouts*/,
                     ares_addrinfo* info) {
    const std::unique_ptr<Asked> owned(static_cast<Asked*>(asked));
    // Abandoned: nobody waits.
    if (result == ARES_EDESTRUCTION) return;
    Query& query = *owned->query;
    --owned->lookup.num_running_;
    if (info != nullptr) {
      for (auto* node = info->nodes; node != nullptr; node = node->ai_next) {
        const auto address = FromSockaddr(node->ai_addr);
        if (address) query.addresses.push_back(*address);
      }
      ares_freeaddrinfo(info);
    }
    query.done.Fill(result);
  }

  // Called by c-ares after it opened `fd` and whenever what it waits for
  // changes; with neither before it closes `fd`.
  static void OnSocketState(void* self, ares_socket_t fd, int readable,
                            int writable) {
    static_cast<CaresLookup*>(self)->SetWanted(fd, readable != 0,
                                               writable != 0);
  }

  void SetWanted(int fd, bool readable, bool writable) {
    if (!readable && !writable) {
      // Here and now, although a handler may still hold the watch: once c-ares
      // has closed `fd`, the number can be another socket's.
      const auto it = watches_.find(fd);
      if (it == watches_.end()) return;
      it->second->Release();
      watches_.erase(it);
      return;
    }
    std::shared_ptr<Watch>& watch = watches_[fd];
    if (!watch) watch = std::make_shared<Watch>(loop_, fd);
    watch->read.wanted = readable;
    watch->write.wanted = writable;
  }

  // Waits for whatever c-ares waits for, after it was given the chance to say.
  void WaitForMore() {
    if (num_running_ == 0) {
      timer_.Cancel();
      return;
    }
    for (auto& [fd, watch] : watches_) {
      Wait(fd, watch, Descriptor::wait_read, &Watch::read);
      Wait(fd, watch, Descriptor::wait_write, &Watch::write);
    }
    timeval room;
    const timeval* left = ares_timeout(channel_, nullptr, &room);
    if (left == nullptr) {
      timer_.Cancel();
      return;
    }
    const auto delay = std::chrono::seconds(left->tv_sec) +
                       std::chrono::microseconds(left->tv_usec);
    // c-ares counts in whole milliseconds: not earlier than it thinks.
    timer_.StartAfter(delay + std::chrono::milliseconds(1),
                      [this] { Process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); });
  }

  void Wait(int fd, const std::shared_ptr<Watch>& watch,
            Descriptor::wait_type type, Watch::Direction Watch::*direction) {
    Watch::Direction& state = (*watch).*direction;
    if (!state.wanted || state.waiting || !watch->descriptor.is_open()) return;
    state.waiting = true;
    // Weak: the lookup, or this socket of it, may be gone by then, and `fd` be
    // the number of another one.
    watch->descriptor.async_wait(
        type, [lookup = weak_from_this(), watch = std::weak_ptr<Watch>(watch),
               fd, type, direction](error_code ec) {
          const auto alive = lookup.lock();
          const auto same = watch.lock();
          if (ec || !alive || !same) return;
          ((*same).*direction).waiting = false;
          const bool readable = type == Descriptor::wait_read;
          alive->Process(readable ? fd : ARES_SOCKET_BAD,
                         readable ? ARES_SOCKET_BAD : fd);
        });
  }

  // Lets c-ares do what it can now, timeouts included.
  void Process(ares_socket_t readable, ares_socket_t writable) {
    const auto self = shared_from_this();
    ares_process_fd(channel_, readable, writable);
    WaitForMore();
  }

  const Executor executor_;
  asio::io_context& loop_;
  const std::string host_;
  const TimePoint began_;
  Timer timer_;
  int num_running_ = 0;
  std::map<int, std::shared_ptr<Watch>> watches_;
  ares_channel channel_ = nullptr;
};

// Whoever asks for the same name within a second, while it is looked up, does
// so by the same sockets: where servers do not answer, the number of those who
// ask is no number of descriptors.  Later ones have others, for there may be
// other servers in /etc/resolv.conf by then.
class CaresResolver::Share {
 public:
  // `running` outlives it.
  Share(Running& running, const Executor& executor, std::string host)
      : running_(running), host_(std::move(host)) {
    std::weak_ptr<CaresLookup>& known = running_[host_];
    lookup_ = known.lock();
    const TimePoint now = TimeSource::Of(executor).Now();
    if (lookup_ != nullptr && now - lookup_->began() < kShared) return;
    lookup_ = std::make_shared<CaresLookup>(executor, host_);
    known = lookup_;
  }
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;
  // The last one abandons what has not ended.
  ~Share() {
    lookup_.reset();
    const auto it = running_.find(host_);
    if (it != running_.end() && it->second.expired()) running_.erase(it);
  }

  CaresLookup& lookup() { return *lookup_; }

 private:
  static constexpr std::chrono::seconds kShared{1};

  Running& running_;
  const std::string host_;
  std::shared_ptr<CaresLookup> lookup_;
};

Task<Addresses> CaresResolver::Lookup(std::string host, Family family) {
  if (IsLocalhost(host)) co_return Addresses{Loopback(family)};
  const Executor executor = co_await asio::this_coro::executor;
  Share share(running_, executor, host);
  const auto query = share.lookup().Ask(options_, family);
  const int result = co_await query->done.deferred().Wait();
  // Neither means that there are addresses of the other family, or that there
  // are not.
  if (result == ARES_ENODATA || result == ARES_ENOTFOUND) co_return Addresses();
  if (result != ARES_SUCCESS) throw StatusError(LookupError(host, result));
  co_return query->addresses;
}

}  // namespace portreeve
