// Bulk: streams through an echo, full duplex, as fast as they go.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <memory>
#include <vector>

#include "bench/load_run.h"
#include "bench/pattern.h"

namespace portreeve::bench {
namespace {

constexpr uint64_t kMebibyte = 1 << 20;

char receive_buffer[Pattern::kChunk];

struct Streams {
  LoadRun& run;
  const Pattern pattern{};
  uint64_t busy = 0;
  uint64_t received = 0;
};

class Stream final : public Watched {
 public:
  // Connects, and waits until that is done.
  Stream(Streams& all, uint64_t bytes);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() {
    if (fd_ >= 0) close(fd_);
  }

  void Start();

  void OnEvents(uint32_t events) override;

 private:
  // The latency that is told is that of a block.
  static constexpr uint64_t kBlock = 64 << 10;

  void Fail(const char* what, int code = 0);
  void Send();
  void Receive();
  // Asks for room to send only while there was none.
  void Watch();

  Streams& all_;
  const uint64_t bytes_;
  int fd_ = -1;
  uint32_t interest_ = 0;
  bool blocked_ = false;
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
  bool end_sent_ = false;
  // When each block that is on its way was begun.
  std::deque<uint64_t> block_begins_;
};

Stream::Stream(Streams& all, uint64_t bytes) : all_(all), bytes_(bytes) {
  ++all_.busy;
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in& to = all_.run.options.to;
  if (fd_ < 0 ||
      connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    Fail("connect", errno);
  }
}

void Stream::Start() {
  if (fd_ < 0) return;
  interest_ = EPOLLIN;
  all_.run.loop.Add(fd_, interest_, this);
  Send();
  if (fd_ >= 0) Watch();
}

void Stream::Fail(const char* what, int code) {
  all_.run.Fail(what, code);
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  --all_.busy;
}

void Stream::Send() {
  blocked_ = false;
  while (sent_ < bytes_) {
    const uint64_t window = all_.run.options.window - (sent_ - received_);
    // No crumbs: they would cost the server more than the bytes.
    if (window < std::min(kBlock, bytes_ - sent_)) return;
    const uint64_t size = std::min({bytes_ - sent_, window, Pattern::kChunk});
    const ssize_t result =
        send(fd_, all_.pattern.At(sent_), size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (result < 0 && errno == EAGAIN) {
      blocked_ = true;
      return;
    }
    if (result < 0) return Fail("send", errno);
    const uint64_t before = sent_;
    sent_ += static_cast<uint64_t>(result);
    for (uint64_t i = before / kBlock; i < sent_ / kBlock; ++i) {
      block_begins_.push_back(NowNanoseconds());
    }
  }
  if (!end_sent_) {
    end_sent_ = true;
    if (shutdown(fd_, SHUT_WR) != 0) Fail("shutdown", errno);
  }
}

void Stream::Receive() {
  const ssize_t result =
      recv(fd_, receive_buffer, sizeof receive_buffer, MSG_DONTWAIT);
  if (result < 0 && errno == EAGAIN) return;
  if (result < 0) return Fail("recv", errno);
  if (result == 0) {
    if (received_ != bytes_) return Fail("closed early");
    close(fd_);
    fd_ = -1;
    --all_.busy;
    return;
  }
  const auto count = static_cast<uint64_t>(result);
  if (count > sent_ - received_) return Fail("more than was sent");
  if (!all_.pattern.Matches(received_, receive_buffer, count)) {
    return Fail("wrong echo");
  }
  const uint64_t before = received_;
  received_ += count;
  all_.received += count;
  for (uint64_t i = before / kBlock; i < received_ / kBlock; ++i) {
    all_.run.latencies.Record(NowNanoseconds() - block_begins_.front());
    block_begins_.pop_front();
  }
}

void Stream::Watch() {
  const uint32_t interest = EPOLLIN | (blocked_ ? EPOLLOUT : 0u);
  if (interest == interest_) return;
  interest_ = interest;
  all_.run.loop.Modify(fd_, interest, this);
}

void Stream::OnEvents(uint32_t events) {
  if (fd_ < 0) return;
  if (events & ~EPOLLOUT) Receive();
  if (fd_ >= 0) Send();
  if (fd_ >= 0) Watch();
}

}  // namespace

// Each of `--connections` streams carries its part of `--units` MiB there and
// back; the echo's FIN behind them is awaited, and every byte compared.
void RunBulk(LoadRun& run) {
  Streams all{run};
  const uint64_t bytes =
      run.options.units * kMebibyte / run.options.connections;
  std::vector<std::unique_ptr<Stream>> streams;
  for (uint64_t i = 0; i < run.options.connections; ++i) {
    streams.push_back(std::make_unique<Stream>(all, bytes));
  }
  run.Begin();
  for (const auto& stream : streams) stream->Start();
  run.RunUntil([&] { return all.busy == 0; });
  run.units = all.received / kMebibyte;
  run.End();
}

}  // namespace portreeve::bench
