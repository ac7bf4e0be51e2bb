// Short connections: connect, send a message, receive its echo, close.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "bench/load_run.h"
#include "bench/pattern.h"

namespace portreeve::bench {
namespace {

char receive_buffer[Pattern::kChunk];

struct ShortConnections {
  LoadRun& run;
  const Pattern pattern{};
  uint64_t started = 0;
  uint64_t ended = 0;
};

// One connection after the other, for as long as there are units left.
class ShortConnection final : public Watched {
 public:
  explicit ShortConnection(ShortConnections& all) : all_(all) {}
  ShortConnection(const ShortConnection&) = delete;
  ShortConnection& operator=(const ShortConnection&) = delete;
  ~ShortConnection() {
    if (fd_ >= 0) close(fd_);
  }

  void Start();

  void OnEvents(uint32_t events) override;

 private:
  enum class State { kConnecting, kAwaitingEcho, kAwaitingEnd };

  const LoadOptions& options() const { return all_.run.options; }
  void Connect();
  void FinishConnecting();
  void Send();
  void Receive();
  // The unit is done; another one begins.
  void Finish();
  void Fail(const char* what, int code = 0);

  ShortConnections& all_;
  int fd_ = -1;
  State state_ = State::kConnecting;
  uint64_t position_ = 0;
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
  uint64_t begin_ = 0;
};

void ShortConnection::Start() {
  // A loop, as a peer that is gone fails every connect at once.
  while (fd_ < 0 && all_.started < options().units) Connect();
}

void ShortConnection::Connect() {
  position_ = 7919 * all_.started++;
  sent_ = received_ = 0;
  state_ = State::kConnecting;
  begin_ = NowNanoseconds();
  fd_ = NewSocket();
  if (fd_ < 0) return Fail("socket", errno);
  if (!all_.run.sources.Bind(fd_)) return Fail("bind", errno);
  const sockaddr_in& to = options().to;
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
      errno != EINPROGRESS) {
    return Fail("connect", errno);
  }
  all_.run.loop.Add(fd_, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, this);
}

void ShortConnection::FinishConnecting() {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) return Fail("connect", error);
  state_ = State::kAwaitingEcho;
}

void ShortConnection::Send() {
  while (sent_ < options().size) {
    const ssize_t result =
        send(fd_, all_.pattern.At(position_ + sent_),
             std::min(options().size - sent_, Pattern::kChunk), MSG_NOSIGNAL);
    if (result < 0 && errno == EAGAIN) return;
    if (result < 0) return Fail("send", errno);
    sent_ += static_cast<uint64_t>(result);
  }
}

void ShortConnection::Receive() {
  while (fd_ >= 0) {
    const uint64_t due = options().size - received_;
    const ssize_t result =
        recv(fd_, receive_buffer, std::min(due + 1, sizeof receive_buffer), 0);
    if (result < 0 && errno == EAGAIN) return;
    if (result < 0) return Fail("recv", errno);
    if (result == 0) {
      if (state_ != State::kAwaitingEnd) return Fail("closed early");
      return Finish();
    }
    const auto count = static_cast<uint64_t>(result);
    if (count > due) return Fail("more than was sent");
    if (!all_.pattern.Matches(position_ + received_, receive_buffer, count)) {
      return Fail("wrong echo");
    }
    received_ += count;
    if (count < due) continue;
    all_.run.latencies.Record(NowNanoseconds() - begin_);
    if (options().reset) return Finish();
    // The peer's end comes later: a read now would be for nothing.
    state_ = State::kAwaitingEnd;
    if (shutdown(fd_, SHUT_WR) != 0) Fail("shutdown", errno);
    return;
  }
}

void ShortConnection::Finish() {
  if (options().reset) {
    CloseWithReset(fd_);
  } else {
    close(fd_);
  }
  fd_ = -1;
  ++all_.run.units;
  ++all_.ended;
}

void ShortConnection::Fail(const char* what, int code) {
  all_.run.Fail(what, code);
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  ++all_.ended;
}

void ShortConnection::OnEvents(uint32_t events) {
  if (fd_ < 0) return;
  if (state_ == State::kConnecting) FinishConnecting();
  if (fd_ >= 0 && (events & EPOLLOUT)) Send();
  if (fd_ >= 0 && (events & ~EPOLLOUT)) Receive();
  Start();
}

}  // namespace

// The client closes first.  With a FIN it waits for the server's, so that no
// more than `--connections` are open at the server, either.
void RunShort(LoadRun& run) {
  ShortConnections all{run};
  std::vector<std::unique_ptr<ShortConnection>> connections;
  for (uint64_t i = 0; i < run.options.connections; ++i) {
    connections.push_back(std::make_unique<ShortConnection>(all));
  }
  run.Begin();
  for (const auto& connection : connections) connection->Start();
  run.RunUntil([&] { return all.ended == run.options.units; });
  run.End();
}

}  // namespace portreeve::bench
