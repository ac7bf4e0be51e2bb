#include "bench/request_client.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace portreeve::bench {
namespace {

// Shared by all clients: there is one thread.
char receive_buffer[Pattern::kChunk];

}  // namespace

RequestClient::RequestClient(Requests& requests, uint64_t seed)
    : requests_(requests), position_(seed * 4099) {
  ++requests_.busy;
  fd_ = NewSocket();
  const sockaddr_in& to = requests_.run().options.to;
  if (fd_ < 0 ||
      (connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
       errno != EINPROGRESS)) {
    Fail("connect", errno);
    return;
  }
  requests_.run().loop.Add(fd_, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                           this);
}

RequestClient::~RequestClient() {
  if (fd_ >= 0) close(fd_);
}

void RequestClient::Fail(const char* what, int code) {
  requests_.run().Fail(what, code);
  if (state_ != State::kIdle) --requests_.busy;
  state_ = State::kFailed;
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void RequestClient::Start() {
  if (state_ == State::kIdle && requests_.Take()) {
    ++requests_.busy;
    Next();
  }
}

void RequestClient::Next() {
  state_ = State::kAwaitingEcho;
  position_ += 7919;
  sent_ = received_ = 0;
  begin_ = NowNanoseconds();
  Send();
}

void RequestClient::Send() {
  const uint64_t size = requests_.run().options.size;
  while (sent_ < size) {
    const char* data = requests_.pattern().At(position_ + sent_);
    const ssize_t result =
        send(fd_, data, std::min(size - sent_, Pattern::kChunk), MSG_NOSIGNAL);
    if (result < 0 && errno == EAGAIN) return;
    if (result < 0) return Fail("send", errno);
    sent_ += static_cast<uint64_t>(result);
  }
}

void RequestClient::FinishConnecting() {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) return Fail("connect", error);
  state_ = State::kIdle;
  --requests_.busy;
}

void RequestClient::Receive() {
  const uint64_t size = requests_.run().options.size;
  const uint64_t due = state_ == State::kAwaitingEcho ? size - received_ : 0;
  // One byte more than is due shows what should not come.
  const ssize_t result =
      recv(fd_, receive_buffer, std::min(due + 1, sizeof receive_buffer), 0);
  if (result < 0 && errno == EAGAIN) return;
  if (result < 0) return Fail("recv", errno);
  if (result == 0) return Fail("closed early");
  const auto count = static_cast<uint64_t>(result);
  if (count > due) return Fail("more than was sent");
  if (!requests_.pattern().Matches(position_ + received_, receive_buffer,
                                   count)) {
    return Fail("wrong echo");
  }
  received_ += count;
  if (received_ < size) return Receive();
  LoadRun& run = requests_.run();
  run.latencies.Record(NowNanoseconds() - begin_);
  ++run.units;
  if (requests_.Take()) return Next();
  state_ = State::kIdle;
  --requests_.busy;
}

void RequestClient::OnEvents(uint32_t events) {
  if (state_ == State::kFailed) return;
  if (state_ == State::kConnecting) return FinishConnecting();
  if (state_ == State::kAwaitingEcho && (events & EPOLLOUT)) Send();
  if (state_ != State::kFailed && (events & ~EPOLLOUT)) Receive();
}

void OpenClients(Requests& requests, uint64_t count,
                 std::vector<std::unique_ptr<RequestClient>>& clients) {
  constexpr uint64_t kAtATime = 32;
  LoadRun& run = requests.run();
  while (clients.size() < count && run.errors() == 0) {
    while (clients.size() < count && requests.busy < kAtATime) {
      clients.push_back(
          std::make_unique<RequestClient>(requests, clients.size()));
    }
    run.RunUntil([&] { return requests.busy == 0 || run.errors() > 0; });
  }
}

}  // namespace portreeve::bench
