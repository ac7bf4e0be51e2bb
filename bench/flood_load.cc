// Abort flood: connections that are reset as soon as they stand, beside clients
// that behave well.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "bench/load_run.h"
#include "bench/request_client.h"

namespace portreeve::bench {
namespace {

// Opens a connection, resets it, and opens the next one.
class Aborter final : public Watched {
 public:
  explicit Aborter(LoadRun& run) : run_(run) {}
  Aborter(const Aborter&) = delete;
  Aborter& operator=(const Aborter&) = delete;
  ~Aborter() {
    if (fd_ >= 0) close(fd_);
  }

  void Connect();

  void OnEvents(uint32_t) override;

 private:
  void Fail(const char* what, int code);

  LoadRun& run_;
  int fd_ = -1;
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

// One that fails stays out, so that a peer that is gone does not keep the loop
// busy.
void Aborter::Fail(const char* what, int code) {
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
  Connect();
}

}  // namespace

// The work is `--units` messages of the `--clients` that behave well; the flood
// goes on for as long as they take.  The clients' connections stand before it
// begins.
void RunFlood(LoadRun& run) {
  Requests requests(run);
  std::vector<std::unique_ptr<RequestClient>> clients;
  OpenClients(requests, run.options.clients, clients);
  std::vector<std::unique_ptr<Aborter>> aborters;
  for (uint64_t i = 0; i < run.options.connections; ++i) {
    aborters.push_back(std::make_unique<Aborter>(run));
  }
  run.Begin();
  for (const auto& aborter : aborters) aborter->Connect();
  requests.Allow(run.options.units);
  for (const auto& client : clients) client->Start();
  run.RunUntil([&] { return requests.busy == 0; });
  run.End();
}

}  // namespace portreeve::bench
