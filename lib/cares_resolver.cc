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

// One lookup.  Destroying it abandons it at once: its sockets are closed, and
// what it left in the loop's queue finds it gone.
class CaresLookup : public std::enable_shared_from_this<CaresLookup> {
 public:
  explicit CaresLookup(const Executor& executor)
      : loop_(LoopOf(executor)),
        timer_(TimeSource::Of(executor)),
        done_(executor) {}
  CaresLookup(const CaresLookup&) = delete;
  CaresLookup& operator=(const CaresLookup&) = delete;
  ~CaresLookup() {
    if (channel_ != nullptr) ares_destroy(channel_);
  }

  // Begins.  Once.
  void Start(const CaresResolver::Options& options, const std::string& host,
             Resolver::Family family) {
    const int result = Open(options);
    if (result != ARES_SUCCESS) {
      Finish(result, nullptr);
      return;
    }
    ares_addrinfo_hints hints{};
    hints.ai_family = family == Resolver::Family::kV4 ? AF_INET : AF_INET6;
    hints.ai_socktype = SOCK_STREAM;  // Each address once.
    // The variable CARES_HOSTS may name another file than /etc/hosts.
    hints.ai_flags = ARES_AI_ENVHOSTS;
    ares_getaddrinfo(channel_, host.c_str(), nullptr, &hints, &OnDone, this);
    WaitForMore();
  }

  // Determined at the end, with c-ares' result.
  Deferred<int> done() const { return done_.deferred(); }

  Addresses& addresses() { return addresses_; }

 private:
  int Open(const CaresResolver::Options& options) {
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
    return result;
  }

  static void OnDone(void* self, int result, int /*timeouts*/,
                     ares_addrinfo* info) {
    // Abandoned: nobody waits, and the object is being destroyed.
    if (result == ARES_EDESTRUCTION) return;
    static_cast<CaresLookup*>(self)->Finish(result, info);
    ares_freeaddrinfo(info);
  }

  void Finish(int result, const ares_addrinfo* info) {
    if (info != nullptr) {
      for (auto* node = info->nodes; node != nullptr; node = node->ai_next) {
        const auto address = FromSockaddr(node->ai_addr);
        if (address) addresses_.push_back(*address);
      }
    }
    done_.FillIfEmpty(result);
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
    if (done_.determined()) {
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

  asio::io_context& loop_;
  Timer timer_;
  const Ivar<int> done_;
  Addresses addresses_;
  std::map<int, std::shared_ptr<Watch>> watches_;
  ares_channel channel_ = nullptr;
};

}  // namespace

Task<Addresses> CaresResolver::Lookup(std::string host, Family family) {
  if (IsLocalhost(host)) co_return Addresses{Loopback(family)};
  const Executor executor = co_await asio::this_coro::executor;
  // The only reference that lasts: it goes at the end, or when this coroutine
  // is cancelled.
  const auto lookup = std::make_shared<CaresLookup>(executor);
  lookup->Start(options_, host, family);
  const int result = co_await lookup->done().Wait();
  // Neither means that there are addresses of the other family, or that there
  // are not.
  if (result == ARES_ENODATA || result == ARES_ENOTFOUND) co_return Addresses();
  if (result != ARES_SUCCESS) throw StatusError(LookupError(host, result));
  co_return std::move(lookup->addresses());
}

}  // namespace portreeve
