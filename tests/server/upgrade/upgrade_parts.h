// What tests of an upgrade share: the parts of a daemon, as each of two
// processes has them; here both are in one.
#ifndef PORTREEVE_TESTS_SERVER_UPGRADE_UPGRADE_PARTS_H_
#define PORTREEVE_TESTS_SERVER_UPGRADE_UPGRADE_PARTS_H_

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lib/base/loop.h"
#include "lib/base/mutex.h"
#include "lib/lane/loop_group.h"
#include "lib/net/descriptor_budget.h"
#include "lib/serve/listening_socket.h"
#include "server/access/policy.h"
#include "server/api/convert.h"
#include "server/api/listener_draft.h"
#include "server/api/names.h"
#include "server/api/timestamp.h"
#include "server/control/request_counts.h"
#include "server/events/event_log.h"
#include "server/metrics/metrics_source.h"
#include "server/registry/frozen_records.h"
#include "server/registry/held_connection.h"
#include "server/registry/registry.h"
#include "server/state/state_store.h"
#include "server/upgrade/own_sockets.h"
#include "server/upgrade/upgrade_parts.h"

namespace portreeve::server {

// What the other process tells at last of a connection.
inline v1::Connection ClosedConnection(int64_t id, const HeldCounts& counts) {
  v1::Connection closed;
  closed.set_name(ConnectionName(id));
  closed.set_bytes_received(counts.bytes_received);
  closed.set_bytes_sent(counts.bytes_sent);
  closed.set_close_reason(ToProto(counts.reason));
  return closed;
}

// One socket of the daemon's own, of which it accepts nobody.
class OneOwnSocket final : public OwnSockets {
 public:
  explicit OneOwnSocket(Loop& loop) : loop_(loop) {}

  absl::Status Listen() {
    auto socket = ListeningSocket::Open(loop_.executor(),
                                        WhereToListen<Inet>::OfLocalhost(0), 5);
    if (!socket.ok()) return socket.status();
    socket_.emplace(*std::move(socket));
    return absl::OkStatus();
  }
  bool is_open() const { return socket_ && socket_->is_open(); }
  AnyAddress address() const { return socket_->address(); }
  void Close() { socket_.reset(); }

  std::vector<OwnSocket> Freeze() override {
    std::vector<OwnSocket> sockets;
    if (is_open()) {
      sockets.push_back({internal::v1::HandoverControlSocket::KIND_CONTROL,
                         "tcp:127.0.0.1:0", socket_->Freeze()});
    }
    return sockets;
  }
  void HandOver() override { socket_->Forget(); }
  absl::Status Take(const OwnSocket& own, Descriptor descriptor) override {
    EXPECT_EQ(own.flag, "tcp:127.0.0.1:0");
    auto socket = ListeningSocket::Resume(loop_.executor(), own.socket,
                                          std::move(descriptor));
    if (!socket.ok()) return socket.status();
    socket_.emplace(*std::move(socket));
    return absl::OkStatus();
  }
  absl::Status Complete() override {
    return is_open() ? absl::OkStatus() : absl::NotFoundError("no socket");
  }
  void Own() override { socket_->Own(); }
  void GiveUp() override {
    if (socket_) socket_->Forget();
  }

 private:
  Loop& loop_;
  std::optional<ListeningSocket> socket_;
};

// What one process has.
class Process {
 public:
  explicit Process(int num_loops) {
    loop.Run([&] {
          loops = std::make_unique<LoopGroup>(loop, num_loops);
          registry =
              std::make_unique<Registry>(loop.executor(), loops->lanes(),
                                         events, budget, server::Policy());
          registry->CountInHistograms(HistogramScope::kListener);
          MetricsSource::Options options;
          options.histograms_of_listeners = true;
          options.max_listeners = 3;
          options.requests = &requests;
          metrics = std::make_unique<MetricsSource>(
              loop.context(), *registry, events, budget, std::move(options));
        })
        .get();
    life.start_time = TimestampNow();
  }
  ~Process() {
    loop.RunTask(registry->TearDown()).get();
    loop.Run([this] {
          metrics.reset();
          registry.reset();
          sockets.Close();
          loops.reset();
        })
        .get();
    loop.Join();
  }

  UpgradeParts parts() {
    UpgradeParts parts{loop, *loops, events, *registry, sockets, life};
    parts.metrics = metrics.get();
    parts.requests = &requests;
    parts.lost_events = [this] { return lost_events; };
    parts.add_lost_events = [this](int64_t count) { lost_events += count; };
    return parts;
  }

  template <typename F>
  auto Run(F f) {
    return loop.Run(std::move(f)).get();
  }

  absl::Status OpenStateIn(const std::string& directory) {
    auto opened = OpenState(directory, "1.0.0");
    if (!opened.ok()) return opened.status();
    life.daemon_id = opened->contents.daemon_id;
    return Run([&] {
      auto s = registry->BeginStart(*std::move(opened), nullptr);
      if (!s.ok()) return s;
      registry->OpenKept();
      registry->FinishStart();
      return s;
    });
  }

  static v1::CreateListenerRequest Request(const std::string& id) {
    v1::CreateListenerRequest request;
    request.set_listener_id(id);
    auto& spec = *request.mutable_spec();
    spec.mutable_where_to_listen()->mutable_inet()->set_address("127.0.0.1");
    spec.mutable_handler()->mutable_echo();
    return request;
  }
  absl::StatusOr<v1::Listener> Create(
      const v1::CreateListenerRequest& request) {
    std::promise<absl::StatusOr<v1::Listener>> answer;
    loop.Post([&] {
      auto draft = CheckCreate(request);
      if (!draft.ok()) return answer.set_value(draft.status());
      registry->Create(*std::move(draft),
                       [&](absl::StatusOr<EncodedListener> created) {
                         if (created.ok()) {
                           answer.set_value(created->message());
                         } else {
                           answer.set_value(created.status());
                         }
                       });
    });
    return answer.get_future().get();
  }
  void Close(const std::string& id,
             ExistingConnections existing = ExistingConnections::kLeave) {
    std::promise<void> closed;
    loop.Post([&] {
      auto awaited = registry->Close(id, existing, v1::WAIT_FOR_CLOSE_FINISHED);
      ASSERT_TRUE(awaited.ok()) << awaited.status();
      awaited->until.Upon([&] { closed.set_value(); });
    });
    closed.get_future().get();
  }
  absl::Status Delete(const std::string& id) {
    std::promise<absl::Status> answer;
    loop.Post([&] {
      registry->Delete(id,
                       [&](absl::StatusOr<google::protobuf::Empty> deleted) {
                         answer.set_value(deleted.status());
                       });
    });
    return answer.get_future().get();
  }
  v1::Listener Describe(const std::string& id) {
    return Run([&] { return registry->listeners().at(id)->Describe(); });
  }
  AnyAddress AddressOfListener(const std::string& id) {
    return *AddressOf(Describe(id).status().listening_on(), "");
  }
  bool AwaitOnLoop(const std::function<bool()>& condition) {
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < until) {
      if (Run(condition)) return true;
      std::this_thread::yield();
    }
    return false;
  }
  size_t num_connections() {
    return Run([this] { return registry->connections().entries().size(); });
  }

  Loop loop;
  std::unique_ptr<LoopGroup> loops;
  EventLog events;
  DescriptorBudget budget{1000};
  std::unique_ptr<Registry> registry;
  RequestCounts requests{{"/x.Y/GetDaemon"}};
  std::unique_ptr<MetricsSource> metrics;
  OneOwnSocket sockets{loop};
  DaemonLife life;
  int64_t lost_events = 0;
};

// A client that waits for the kernel.
class Caller {
 public:
  explicit Caller(const AnyAddress& address) {
    std::visit(
        [this](const auto& a) {
          fd_ = Descriptor(
              socket(a.data()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
          const timeval most{20, 0};
          setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
          is_connected_ = connect(fd_.get(), a.data(),
                                  static_cast<socklen_t>(a.size())) == 0;
        },
        address);
  }

  bool is_connected() const { return is_connected_; }
  bool Send(const std::string& text) {
    return send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(text.size());
  }
  // Gives what has come; "" at the end.
  std::string Receive() {
    char bytes[4096];
    const ssize_t size = recv(fd_.get(), bytes, sizeof bytes, 0);
    return size < 0 ? "error" : std::string(bytes, static_cast<size_t>(size));
  }
  bool Echoes(const std::string& text) {
    return Send(text) && Receive() == text;
  }

 private:
  Descriptor fd_;
  bool is_connected_ = false;
};

// A client that sends without an end, and checks each byte that comes back.
class BulkCaller {
 public:
  explicit BulkCaller(const AnyAddress& address) {
    std::visit(
        [this](const auto& a) {
          fd_ = Descriptor(
              socket(a.data()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
          const timeval most{60, 0};
          setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
          setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
          EXPECT_EQ(
              connect(fd_.get(), a.data(), static_cast<socklen_t>(a.size())),
              0);
        },
        address);
    sending_ = std::thread([this] { Send(); });
    receiving_ = std::thread([this] { Receive(); });
  }
  ~BulkCaller() { Stop(); }

  // Waits until some more has come.
  void AwaitMore() {
    const MutexLock lock(mutex_);
    const int64_t more = received_ + 200'000;
    while (received_ < more && !is_over_) changed_.Wait(mutex_);
    EXPECT_FALSE(is_over_);
  }
  // Sends no more; gives whether all has come, and then the end.
  bool EndsWell() {
    Stop();
    const MutexLock lock(mutex_);
    return !is_wrong_ && received_ == sent_;
  }

 private:
  static constexpr size_t kBlock = 16 * 1024;

  // A stretch of a stream, of which each place differs from those near it; it
  // goes on beyond its end by a block, as from its beginning.
  static const std::string& Pattern() {
    static const auto* const pattern = [] {
      auto* const bytes = new std::string(kPeriod + kBlock, '\0');
      for (size_t i = 0; i < bytes->size(); ++i) {
        const size_t at = i % kPeriod;
        (*bytes)[i] = static_cast<char>((at * 37 + at / 241) & 0xff);
      }
      return bytes;
    }();
    return *pattern;
  }
  static const char* At(int64_t at) {
    return Pattern().data() + static_cast<size_t>(at) % kPeriod;
  }
  static constexpr size_t kPeriod = 1'000'003;

  void Stop() {
    stopped_ = true;
    if (sending_.joinable()) sending_.join();
    if (receiving_.joinable()) receiving_.join();
  }

  void Send() {
    while (!stopped_) {
      const ssize_t size = send(fd_.get(), At(sent_), kBlock, MSG_NOSIGNAL);
      if (size <= 0) break;
      sent_ += size;
    }
    shutdown(fd_.get(), SHUT_WR);
  }

  void Receive() {
    char bytes[kBlock];
    for (bool is_over = false; !is_over;) {
      const ssize_t size = recv(fd_.get(), bytes, sizeof bytes, 0);
      const MutexLock lock(mutex_);
      is_over = is_over_ = size <= 0;
      is_wrong_ |= size < 0;
      if (size > 0) {
        is_wrong_ |=
            std::memcmp(bytes, At(received_), static_cast<size_t>(size)) != 0;
        received_ += size;
      }
      changed_.NotifyAll();
    }
  }

  Descriptor fd_;
  std::atomic<bool> stopped_{false};
  std::atomic<int64_t> sent_{0};
  Mutex mutex_;
  CondVar changed_;
  bool is_over_ PORTREEVE_GUARDED_BY(mutex_) = false;
  bool is_wrong_ PORTREEVE_GUARDED_BY(mutex_) = false;
  int64_t received_ PORTREEVE_GUARDED_BY(mutex_) = 0;
  std::thread sending_, receiving_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_TESTS_SERVER_UPGRADE_UPGRADE_PARTS_H_
