#include "client/cli/copy.h"

#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <future>
#include <memory>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "client/cli/wake.h"

namespace portreeve::cli {
namespace {

constexpr size_t kBufferSize = 64 * 1024;

bool ShallTryAgain(int error) {
  return error == EINTR || error == EAGAIN || error == EWOULDBLOCK;
}

// Waits until `descriptor` can do one of `events`; false where `wake` was set.
bool Await(int descriptor, short events, int wake) {  // NOLINT: poll's type.
  pollfd both[] = {{descriptor, events, 0}, {wake, POLLIN, 0}};
  while (poll(both, 2, -1) < 0) {
    if (errno != EINTR) return true;  // The operation itself will tell.
  }
  return both[1].revents == 0;
}

absl::Status Failed(const char* what, int error) {
  return absl::DataLossError(
      absl::StrCat("the ", what, " (", std::generic_category().message(error),
                   "); the connection was cut"));
}

// Both directions of one stream.
class Copy {
 public:
  Copy(client::Stream& stream, int input, int output)
      : stream_(stream), input_(input), output_(output) {}

  absl::StatusOr<Ending> Run(const std::function<void()>& peer_ended) {
    std::future<absl::Status> sending;
    try {
      sending = std::async(std::launch::async, [this] { return Send(); });
    } catch (const std::system_error& error) {
      stream_.Cancel();
      return absl::ResourceExhaustedError(
          absl::StrCat("no thread can be started (", error.what(), ")"));
    }
    auto reason = Receive(peer_ended);
    wake_.Set();
    const absl::Status sent = sending.get();
    if (!sent.ok()) return sent;
    if (!reason.ok()) return reason.status();
    return Ending{*reason, num_ended_ == 2};
  }

 private:
  absl::Status Send() {
    const absl::StatusOr<bool> ended =
        SendAll(input_, wake_.descriptor(), stream_);
    if (!ended.ok()) {
      stream_.Cancel();
      return ended.status();
    }
    if (*ended && stream_.SendEof().ok()) EndDirection();
    return absl::OkStatus();
  }

  absl::StatusOr<v1::CloseReason> Receive(
      const std::function<void()>& peer_ended) {
    while (true) {
      const absl::StatusOr<v1::ServerFrame> frame = stream_.Read();
      if (!frame.ok()) return frame.status();
      if (frame->has_closed()) return frame->closed().reason();
      if (frame->has_eof()) {
        // A reset is no end: `closed` is next.
        if (!frame->eof().reset() && !EndDirection()) peer_ended();
      } else if (!WriteAll(output_, frame->data())) {
        const int error = errno;
        stream_.Cancel();
        return Failed("output cannot be written", error);
      }
    }
  }

  // The second of two ends the connection; true for that.
  bool EndDirection() {
    if (num_ended_.fetch_add(1) == 0) return false;
    stream_.Done().IgnoreError();  // Fails where it is closed already.
    return true;
  }

  client::Stream& stream_;
  const int input_;
  const int output_;
  const Wake wake_;
  std::atomic<int> num_ended_ = 0;
};

}  // namespace

bool WriteAll(int descriptor, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (!ShallTryAgain(errno)) {
      return false;
    } else {
      Await(descriptor, POLLOUT, -1);
    }
  }
  return true;
}

absl::StatusOr<bool> SendAll(int input, int wake, client::Stream& stream) {
  const auto buffer = std::make_unique<char[]>(kBufferSize);
  while (Await(input, POLLIN, wake)) {
    const ssize_t count = read(input, buffer.get(), kBufferSize);
    if (count == 0) return true;
    if (count < 0 && !ShallTryAgain(errno)) {
      return Failed("input cannot be read", errno);
    }
    if (count < 0) continue;
    const absl::string_view bytes(buffer.get(), static_cast<size_t>(count));
    if (!stream.Send(bytes).ok()) return false;  // Read tells the reason.
  }
  return false;
}

absl::StatusOr<Ending> CopyBothWays(client::Stream& stream, int input,
                                    int output,
                                    const std::function<void()>& peer_ended) {
  return Copy(stream, input, output).Run(peer_ended);
}

}  // namespace portreeve::cli
