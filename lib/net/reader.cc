#include "lib/net/reader.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/socket_calls.h"
#include "lib/base/status.h"

namespace portreeve {
namespace {

absl::Status CanNotRead(const char* why) {
  return absl::FailedPreconditionError(
      absl::StrCat("can not read from reader: ", why));
}

absl::Status TooMuch(size_t max_bytes) {
  return absl::OutOfRangeError(
      absl::StrCat("more than ", max_bytes, " bytes to read at once"));
}

}  // namespace

// Refuses a second read while there is one.
class Reader::InUse {
 public:
  explicit InUse(Reader& reader) : reader_(reader) {
    if (reader.closed_) throw StatusError(CanNotRead("closed"));
    if (reader.in_use_) throw StatusError(CanNotRead("in use"));
    reader.in_use_ = true;
  }
  ~InUse() { reader_.in_use_ = false; }
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;

 private:
  Reader& reader_;
};

Reader::Reader(std::shared_ptr<SocketCore> socket, size_t buffer_size)
    : socket_(std::move(socket)), buffer_size_(buffer_size) {}

std::optional<size_t> Reader::TryReceive(std::span<char> space) {
  if (at_eof_) return 0;
  const ssize_t n = socket_->Receive(space.data(), space.size());
  if (n > 0) return static_cast<size_t>(n);
  if (n < 0 && WouldBlock(errno)) return std::nullopt;
  at_eof_ = true;
  if (n == 0) {
    socket_->NoteReason(CloseReason::kPeerClosed);
  } else if (socket_->is_open()) {
    socket_->NoteReason(CloseReason::kPeerReset);
  }
  return 0;
}

Task<> Reader::WaitReadable() {
  const auto state = co_await asio::this_coro::cancellation_state;
  const auto before = state.cancelled();
  const auto [ec] = co_await socket_->socket().async_wait(
      asio::socket_base::wait_read, kTuple);
  if (!ec) co_return;
  // The wait was aborted because the socket was closed, which the next
  // TryReceive() reports; or because this read was cancelled, perhaps in the
  // step of the close: that is no end of file.
  if (socket_->is_open() || state.cancelled() != before) {
    throw boost::system::system_error(ec);
  }
}

Task<bool> Reader::Fill() {
  while (true) {
    const size_t old_size = buffer_.size();
    buffer_.resize(old_size + buffer_size_);
    const std::optional<size_t> received =
        TryReceive(std::span<char>(buffer_.data() + old_size, buffer_size_));
    buffer_.resize(old_size + received.value_or(0));
    if (received) co_return *received > 0;
    if (buffer_.empty()) buffer_.shrink_to_fit();
    co_await WaitReadable();
  }
}

void Reader::Consume(size_t size) {
  begin_ += size;
  if (begin_ == buffer_.size()) {
    std::string().swap(buffer_);
    begin_ = 0;
  } else if (begin_ > buffer_.size() / 2) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
}

size_t Reader::TakeBuffered(std::span<char> space) {
  const size_t size = std::min(space.size(), buffered().size());
  if (size == 0) return 0;  // memcpy() may be given no null.
  std::memcpy(space.data(), buffered().data(), size);
  Consume(size);
  return size;
}

std::string Reader::TakeString(size_t size) {
  std::string taken(buffered().substr(0, size));
  Consume(size);
  return taken;
}

Task<size_t> Reader::Read(std::span<char> buffer) {
  PORTREEVE_CHECK(!buffer.empty());
  const InUse in_use(*this);
  if (!buffered().empty()) co_return TakeBuffered(buffer);
  while (true) {
    if (const auto received = TryReceive(buffer)) co_return *received;
    co_await WaitReadable();
  }
}

std::optional<size_t> Reader::TryRead(std::span<char> buffer) {
  PORTREEVE_CHECK(!buffer.empty());
  const InUse in_use(*this);
  if (!buffered().empty()) return TakeBuffered(buffer);
  return TryReceive(buffer);
}

Task<> Reader::WaitUntilReadable() {
  const InUse in_use(*this);
  if (buffered().empty() && !at_eof_ && socket_->is_open()) {
    co_await WaitReadable();
  }
}

Task<size_t> Reader::ReadExactly(std::span<char> buffer) {
  const InUse in_use(*this);
  // The bytes go through buffer_, so that a cancelled read loses nothing.
  while (buffered().size() < buffer.size()) {
    if (!co_await Fill()) break;
  }
  co_return TakeBuffered(buffer);
}

Task<std::optional<std::string>> Reader::ReadUntil(char delimiter,
                                                   size_t max_bytes) {
  const InUse in_use(*this);
  size_t searched = 0;
  while (true) {
    const size_t at = buffered().find(delimiter, searched);
    if (at <= max_bytes && at != std::string_view::npos) {
      std::string taken = TakeString(at);
      Consume(1);
      co_return taken;
    }
    searched = buffered().size();
    if (searched > max_bytes) throw StatusError(TooMuch(max_bytes));
    if (!co_await Fill()) break;
  }
  if (buffered().empty()) co_return std::nullopt;
  co_return TakeString(buffered().size());
}

Task<std::optional<std::string>> Reader::ReadLine(size_t max_bytes) {
  std::optional<std::string> line = co_await ReadUntil('\n', max_bytes);
  if (line && !line->empty() && line->back() == '\r') line->pop_back();
  co_return line;
}

Task<std::string> Reader::ReadAll(size_t max_bytes) {
  const InUse in_use(*this);
  while (buffered().size() <= max_bytes) {
    if (!co_await Fill()) {
      std::string all = TakeString(buffered().size());
      Close();
      co_return all;
    }
  }
  throw StatusError(TooMuch(max_bytes));
}

Deferred<> Reader::Close() {
  if (!closed_) {
    closed_ = true;
    // A socket that lingers is closed for this side already.
    if (socket_->is_open()) socket_->CloseNow();
  }
  return socket_->closed();
}

}  // namespace portreeve
