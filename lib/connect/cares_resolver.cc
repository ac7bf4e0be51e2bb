#include "lib/connect/cares_resolver.h"

#include <ares.h>
#include <netinet/in.h>

#include <algorithm>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/base/deferred.h"
#include "lib/base/guarded.h"
#include "lib/base/status.h"
#include "lib/base/time_source.h"
#include "lib/net/descriptor_part.h"

namespace portreeve {
namespace {

using Addresses = std::vector<asio::ip::address>;
using Descriptor =
    asio::posix::basic_stream_descriptor<asio::io_context::executor_type>;

// Gives c-ares' result code.
int InitialiseCaresOnce() {
  // This is never undone, since other loops may use c-ares until the end of the
  // process.
  static const int result = ares_library_init(ARES_LIB_INIT_ALL);
  return result;
}

// Whether a server, or a file, has said which addresses there are.  These may
// be none, which says nothing of the other family.
bool IsAnswer(int result) {
  return result == ARES_SUCCESS || result == ARES_ENODATA ||
         result == ARES_ENOTFOUND;
}

absl::Status LookupError(const std::string& host, int result,
                         bool was_refused_a_socket) {
  ErrorDetail detail;
  detail.reason = Reason::kDnsFailure;
  if (was_refused_a_socket) detail.error_number = EMFILE;
  return MakeError(
      absl::StatusCode::kUnavailable, detail,
      absl::StrCat(
          "resolve ", host, ": ", ares_strerror(result),
          was_refused_a_socket ? " (too many lookups at a time)" : ""));
}

// "localhost" and all below it is this machine, whatever a server says (RFC
// 6761, section 6.3).  It is not left to c-ares, since 1.18 asks servers for
// the family that /etc/hosts lacks, and loses memory on the way.
bool IsLocalhost(absl::string_view host) {
  absl::ConsumeSuffix(&host, ".");
  return absl::EqualsIgnoreCase(host, "localhost") ||
         absl::EndsWithIgnoreCase(host, ".localhost");
}

asio::ip::address Loopback(Resolver::Family family) {
  if (family == Resolver::Family::kV4) return asio::ip::address_v4::loopback();
  return asio::ip::address_v6::loopback();
}

// Gives nothing where `address` is of neither family.
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

// Watches one socket of c-ares, which opens and closes it.
struct Watch {
  // `is_further`: the socket counts in DescriptorPart::OfLookups().
  Watch(asio::io_context& loop, int fd, bool is_further)
      : descriptor(loop), is_further(is_further) {
    error_code ignored;  // On an error the query ends by its timeout.
    descriptor.assign(fd, ignored);
  }
  ~Watch() {
    Release();
    if (is_further) DescriptorPart::OfLookups().GiveBack(1);
  }

  void Release() {
    if (descriptor.is_open()) descriptor.release();
  }

  struct Direction {
    bool wanted = false;
    bool waiting = false;
  };

  Descriptor descriptor;
  const bool is_further;
  Direction read, write;
};

}  // namespace

// The lookups of one name, which share their sockets.  Destroying it abandons
// them at once: the sockets are closed, and what was left in the loop's queue
// finds it gone.
class CaresLookup : public std::enable_shared_from_this<CaresLookup> {
 public:
  // One question for the addresses of one family, which many may wait for.
  struct Query {
    Query(const Executor& executor, TimePoint began)
        : done(executor), began(began) {}

    const Ivar<int> done;  // Filled at the end, with c-ares' result.
    const TimePoint began;
    Addresses addresses;
  };

  CaresLookup(const Executor& executor, std::string host)
      : executor_(executor),
        loop_(LoopOf(executor)),
        host_(std::move(host)),
        began_(TimeSource::Of(executor).Now()),
        timer_(TimeSource::Of(executor)),
        v4_(TimeSource::Of(executor)),
        v6_(TimeSource::Of(executor)) {}
  CaresLookup(const CaresLookup&) = delete;
  CaresLookup& operator=(const CaresLookup&) = delete;
  ~CaresLookup() { CloseChannel(); }

  TimePoint began() const { return began_; }

  // Asks the servers, or, where they were just asked, does so a moment later
  // unless they have answered by then.  It asks again, since c-ares itself
  // sends again what was lost only after a long pause.
  std::shared_ptr<const Query> Ask(const CaresResolver::Options& options,
                                   Resolver::Family family) {
    Questions& questions = QuestionsOf(family);
    if (!questions.running.empty()) {
      const auto& newest = questions.running.back();
      const TimePoint next = After(newest->began, kAskedAgainAfter);
      if (TimeSource::Of(executor_).Now() < next) {
        if (!questions.next.armed()) {
          questions.next.StartAt(next, [this, family] { AskAgain(family); });
        }
        return newest;
      }
    }
    const int result = Open(options);
    if (result == ARES_SUCCESS) return Send(family);
    const auto query =
        std::make_shared<Query>(executor_, TimeSource::Of(executor_).Now());
    query->done.Fill(result);
    return query;
  }

  // Whether a socket was refused, since lookups have all sockets that they may
  // have.
  bool was_refused_a_socket() const { return was_refused_a_socket_; }

 private:
  // How long one question serves all who ask the same.  So there are few
  // questions, however many ask, and however many of them leave.
  static constexpr std::chrono::milliseconds kAskedAgainAfter{100};

  using Queries = std::vector<std::shared_ptr<Query>>;

  // The questions for one family.
  struct Questions {
    explicit Questions(TimeSource& time) : next(time) {}

    Queries running;  // The oldest is the first.
    Timer next;       // Asks for those who share the newest.
  };

  // What c-ares is given with a query.
  struct Asked {
    CaresLookup& lookup;
    Resolver::Family family;
    std::shared_ptr<Query> query;
  };

  Questions& QuestionsOf(Resolver::Family family) {
    return family == Resolver::Family::kV4 ? v4_ : v6_;
  }

  // Sends a question; the channel must be open.
  std::shared_ptr<const Query> Send(Resolver::Family family) {
    ares_addrinfo_hints hints{};
    hints.ai_family = family == Resolver::Family::kV4 ? AF_INET : AF_INET6;
    hints.ai_socktype = SOCK_STREAM;  // Gives each address once.
    // The variable CARES_HOSTS may name another file than /etc/hosts.
    hints.ai_flags = ARES_AI_ENVHOSTS;
    Questions& questions = QuestionsOf(family);
    const auto query =
        std::make_shared<Query>(executor_, TimeSource::Of(executor_).Now());
    std::unique_ptr<Asked> asked(new Asked{*this, family, query});
    questions.running.push_back(query);
    questions.next.Cancel();
    ares_getaddrinfo(channel_, host_.c_str(), nullptr, &hints, &OnDone,
                     asked.release());
    WaitForMore();
    return query;
  }

  void AskAgain(Resolver::Family family) {
    const auto self = shared_from_this();
    if (!QuestionsOf(family).running.empty()) (void)Send(family);
  }

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
    if (result != ARES_SUCCESS) {
      CloseChannel();
    } else {
      ares_set_socket_callback(channel_, &OnSocketCreated, this);
    }
    return result;
  }

  void CloseChannel() {
    if (channel_ != nullptr) ares_destroy(std::exchange(channel_, nullptr));
  }

  // c-ares calls this once for each query, with what the query was given.
  static void OnDone(void* asked, int result, int /*timeouts*/,
                     ares_addrinfo* info) {
    const std::unique_ptr<Asked> owned(static_cast<Asked*>(asked));
    const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)>
        owned_info(info, &ares_freeaddrinfo);
    // The query was abandoned, and nobody waits.
    if (result == ARES_EDESTRUCTION) return;
    // Nothing may be thrown through c-ares.
    Guarded([&] {
      owned->lookup.OnAnswer(owned->family, owned->query, result,
                             AddressesOf(info));
    });
  }

  static Addresses AddressesOf(const ares_addrinfo* info) {
    Addresses addresses;
    if (info == nullptr) return addresses;
    for (auto* node = info->nodes; node != nullptr; node = node->ai_next) {
      const auto address = FromSockaddr(node->ai_addr);
      if (address) addresses.push_back(*address);
    }
    return addresses;
  }

  // An error is for one query only, and an answer for all others, too, since
  // those that were lost on their way would have to wait for theirs.
  void OnAnswer(Resolver::Family family, const std::shared_ptr<Query>& query,
                int result, const Addresses& addresses) {
    Queries& running = QuestionsOf(family).running;
    std::erase(running, query);
    Queries answered;
    if (IsAnswer(result)) answered.swap(running);
    answered.push_back(query);
    for (const auto& one : answered) {
      // A query that another one's answer has ended comes to its own end, too.
      if (one->done.deferred().determined()) continue;
      one->addresses = addresses;
      one->done.Fill(result);
    }
  }

  // c-ares calls this after it opened `fd`; given -1, it closes `fd`, and does
  // without.
  static int OnSocketCreated(ares_socket_t fd, int /*type*/, void* self) {
    bool is_admitted = false;
    Guarded([&] { is_admitted = static_cast<CaresLookup*>(self)->Admit(fd); });
    return is_admitted ? 0 : -1;
  }

  // The first socket does not count, since it stands for the connection that
  // waits for the name, and has no socket yet.
  bool Admit(int fd) {
    const bool is_further = !watches_.empty();
    if (is_further && !DescriptorPart::OfLookups().Take()) {
      was_refused_a_socket_ = true;
      return false;
    }
    std::shared_ptr<Watch> watch;
    try {
      watch = std::make_shared<Watch>(loop_, fd, is_further);
    } catch (...) {
      if (is_further) DescriptorPart::OfLookups().GiveBack(1);
      throw;
    }
    watches_[fd] = watch;
    return true;
  }

  // c-ares calls this after it opened `fd` and whenever what it waits for
  // changes; with neither, before it closes `fd`.
  static void OnSocketState(void* self, ares_socket_t fd, int readable,
                            int writable) {
    static_cast<CaresLookup*>(self)->SetWanted(fd, readable != 0,
                                               writable != 0);
  }

  void SetWanted(int fd, bool readable, bool writable) {
    if (!readable && !writable) {
      // The watch is released now, although a handler may still hold it: once
      // c-ares has closed `fd`, the number can be another socket's.
      const auto it = watches_.find(fd);
      if (it == watches_.end()) return;
      it->second->Release();
      watches_.erase(it);
      return;
    }
    Watch& watch = *watches_.at(fd);  // It is there since OnSocketCreated().
    watch.read.wanted = readable;
    watch.write.wanted = writable;
  }

  // Waits for whatever c-ares waits for, after it was given the chance to say.
  void WaitForMore() {
    if (v4_.running.empty() && v6_.running.empty()) {
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
    // c-ares counts in whole milliseconds, so that this must not be earlier
    // than it thinks.
    timer_.StartAfter(delay + std::chrono::milliseconds(1),
                      [this] { Process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); });
  }

  void Wait(int fd, const std::shared_ptr<Watch>& watch,
            Descriptor::wait_type type, Watch::Direction Watch::*direction) {
    Watch::Direction& state = (*watch).*direction;
    if (!state.wanted || state.waiting || !watch->descriptor.is_open()) return;
    state.waiting = true;
    // The pointers are weak, since the lookup, or this socket of it, may be
    // gone by then, and `fd` be the number of another one.
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
  Questions v4_, v6_;
  bool was_refused_a_socket_ = false;
  std::map<int, std::shared_ptr<Watch>> watches_;  // By descriptor.
  ares_channel channel_ = nullptr;
};

// Whoever asks for the same name within a second, while it is looked up, does
// so by the same sockets: where servers do not answer, the number of those who
// ask is no number of descriptors.  Later ones have others, for there may be
// other servers in /etc/resolv.conf by then; but not a third time while the
// first are still waited for.
class CaresResolver::Share {
 public:
  // `running` outlives it.
  Share(Running& running, const Executor& executor, std::string host)
      : running_(running), host_(std::move(host)) {
    Lookups& known = running_[host_];
    lookup_ = known.newest.lock();
    const TimePoint now = TimeSource::Of(executor).Now();
    const bool may_be_new = known.older.expired();
    if (lookup_ != nullptr &&
        (!may_be_new || now - lookup_->began() < kShared)) {
      return;
    }
    if (lookup_ != nullptr) known.older = lookup_;
    lookup_ = std::make_shared<CaresLookup>(executor, host_);
    known.newest = lookup_;
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
  if (IsAnswer(result)) co_return query->addresses;
  throw StatusError(
      LookupError(host, result, share.lookup().was_refused_a_socket()));
}

}  // namespace portreeve
