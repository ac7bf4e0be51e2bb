// Abort flood: bursts of connections that are reset as soon as they stand,
// beside clients that behave well.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "bench/load_run.h"
#include "bench/request_client.h"

namespace portreeve::bench {
namespace {

// Opens a connection and resets it.
class Aborter final : public Watched {
 public:
  explicit Aborter(LoadRun& run) : run_(run) {}
  Aborter(const Aborter&) = delete;
  Aborter& operator=(const Aborter&) = delete;
  ~Aborter() {
    if (fd_ >= 0) close(fd_);
  }

  bool busy() const { return fd_ >= 0; }
  bool failed() const { return failed_; }

  // When it is not busy and has not failed.
  void Connect();

  void OnEvents(uint32_t) override;

 private:
  void Fail(const char* what, int code);

  LoadRun& run_;
  int fd_ = -1;
  bool failed_ = false;
};

// Sends a burst after each tick.  Connections of the last burst that still wait
// are late: the server's backlog is full.
class Flood final : public Watched {
 public:
  explicit Flood(LoadRun& run);
  ~Flood() { close(timer_); }

  void Start();
  // After each round of the loop: what had come by the tick is done by now.
  void SendBurst();

  void OnEvents(uint32_t) override;

 private:
  LoadRun& run_;
  const int timer_;
  bool ticked_ = false;
  std::vector<std::unique_ptr<Aborter>> aborters_;
};

void Aborter::Connect() {
  fd_ = NewSocket();
  if (fd_ < 0) return Fail("socket", errno);
  if (!run_.sources.Bind(fd_)) return Fail("bind", errno);
  const sockaddr_in& to = run_.options.to;
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
      errno != EINPROGRESS) {
    return Fail("connect", errno);
  }
  run_.loop.Add(fd_, EPOLLOUT | EPOLLONESHOT, this);
}

void Aborter::Fail(const char* what, int code) {
  failed_ = true;
  run_.Fail(what, code);
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void Aborter::OnEvents(uint32_t) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) return Fail("connect", error);
  CloseWithReset(fd_);
  fd_ = -1;
  ++run_.aborted;
}

Flood::Flood(LoadRun& run)
    : run_(run),
      timer_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
  if (timer_ < 0) Die("timerfd_create");
  for (uint64_t i = 0; i < run.options.connections; ++i) {
    aborters_.push_back(std::make_unique<Aborter>(run));
  }
}

void Flood::Start() {
  const auto period = static_cast<time_t>(run_.options.period);
  const timespec every = {period / 1'000'000, period % 1'000'000 * 1000};
  const itimerspec ticks = {every, every};
  if (timerfd_settime(timer_, 0, &ticks, nullptr) != 0) Die("timerfd_settime");
  run_.loop.Add(timer_, EPOLLIN, this);
}

void Flood::OnEvents(uint32_t) {
  // Ticks that were missed make one burst only.
  uint64_t ticks;
  ticked_ = read(timer_, &ticks, sizeof ticks) == sizeof ticks;
}

void Flood::SendBurst() {
  if (!std::exchange(ticked_, false)) return;
  for (const auto& aborter : aborters_) {
    if (aborter->busy()) {
      ++run_.late;
    } else if (!aborter->failed()) {
      aborter->Connect();
    }
  }
}

}  // namespace

// The work is `--units` messages of the `--clients` that behave well; the flood
// goes on for as long as they take.  The clients' connections stand before it
// begins.
//
// It comes in bursts of `--connections`, each `--period`, and not as fast as it
// can: then a server with a short backlog, at which the flood waits for SYNs to
// be sent again, would have less of it than one that takes all.
void RunFlood(LoadRun& run) {
  Requests requests(run);
  std::vector<std::unique_ptr<RequestClient>> clients;
  OpenClients(requests, run.options.clients, clients);
  Flood flood(run);
  run.Begin();
  flood.Start();
  requests.Allow(run.options.units);
  for (const auto& client : clients) client->Start();
  run.RunUntil([&] {
    flood.SendBurst();
    return requests.busy == 0;
  });
  run.End();
}

}  // namespace portreeve::bench
