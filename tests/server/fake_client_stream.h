// FakeClientStream: the stream of a client that the test holds in its hands.
#ifndef PORTREEVE_TESTS_SERVER_FAKE_CLIENT_STREAM_H_
#define PORTREEVE_TESTS_SERVER_FAKE_CLIENT_STREAM_H_

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/deferred.h"
#include "server/remote/client_stream.h"

namespace portreeve::testing {

using server::ClientMessage;
using server::ClientStream;
using server::DataBlock;

// What gRPC is otherwise.  While it stalls, the client takes nothing.
class FakeClientStream : public ClientStream {
 public:
  void BeginConnection() override { has_connection_ = true; }
  void EndConnection() override { has_connection_ = false; }
  bool has_connection() const { return has_connection_; }

  explicit FakeClientStream(const Executor& executor)
      : executor_(executor), broken_(executor), changed_(executor) {}

  Task<std::optional<ClientMessage>> Read(Carrier carrier) override {
    last_carrier = carrier;
    while (frames_.empty() && !over()) co_await Changed();
    if (frames_.empty() || over(false)) co_return std::nullopt;
    if (!frames_.front()) co_return std::nullopt;  // It stays the end.
    ClientMessage message = ToMessage(*std::move(frames_.front()));
    frames_.pop_front();
    co_return message;
  }
  Task<bool> Write(v1::ServerFrame frame) override {
    if (over()) co_return false;
    written.push_back(std::move(frame));
    while (stalled_ && !over()) co_await Changed();
    co_return !over();
  }
  void SendData(DataBlock data) override {
    if (over()) return;
    written.emplace_back();
    written.back().set_data(std::string(data.data()));
  }
  Task<bool> DataTaken() override {
    while (stalled_ && !over()) co_await Changed();
    co_return !over();
  }
  void Join(std::shared_ptr<SharedDescriptor> socket) override {
    joined = std::move(socket);
  }
  Deferred<> broken() const override { return broken_.deferred(); }
  void Finish(const absl::Status& status) override {
    if (!finished) finished = status;
    Change();
  }

  // The client's side.
  void Send(v1::ClientFrame frame) {
    frames_.push_back(std::move(frame));
    Change();
  }
  void SendData(std::string data) {
    v1::ClientFrame frame;
    frame.set_data(std::move(data));
    Send(std::move(frame));
  }
  void End() {
    frames_.push_back(std::nullopt);
    Change();
  }
  void Break() {
    broken_.FillIfEmpty();
    Change();
  }
  void Stall(bool stalled) {
    stalled_ = stalled;
    Change();
  }
  size_t unread() const { return frames_.size(); }

  // "opened", "data:xyz", "eof", "eof by reset", "closed:PEER_CLOSED",
  // "moved", ...
  std::vector<std::string> Written() const {
    std::vector<std::string> texts;
    for (const v1::ServerFrame& frame : written) {
      if (frame.has_opened()) texts.push_back("opened");
      if (frame.has_data()) texts.push_back("data:" + frame.data());
      if (frame.has_eof()) {
        texts.push_back(frame.eof().reset() ? "eof by reset" : "eof");
      }
      if (frame.has_moved()) texts.push_back("moved");
      if (frame.has_closed()) {
        texts.push_back(
            "closed:" +
            v1::CloseReason_Name(frame.closed().reason()).substr(13));
      }
    }
    return texts;
  }

  std::vector<v1::ServerFrame> written;
  std::optional<absl::Status> finished;
  Carrier last_carrier = Carrier::kCaller;   // Of the last Read().
  std::shared_ptr<SharedDescriptor> joined;  // By Join().

 protected:
  // Whoever waits looks again.
  virtual void Change() { std::exchange(changed_, Ivar<>(executor_)).Fill(); }

 private:
  bool has_connection_ = false;
  bool over(bool or_finished = true) const {
    return broken_.determined() || (or_finished && finished.has_value());
  }
  // As SocketCall reads it: data lies in pieces.
  static ClientMessage ToMessage(v1::ClientFrame frame) {
    ClientMessage message;
    if (!frame.has_data()) {
      message.frame = std::move(frame);
      return message;
    }
    const auto data = std::make_shared<std::string>(frame.data());
    const std::string_view all(*data);
    const size_t half = all.size() / 2;
    message.data = {{all.substr(0, half), all.substr(half)}, data};
    return message;
  }

  Task<> Changed() {
    const Deferred<> changed = changed_.deferred();
    co_await changed.Wait();
  }
  const Executor executor_;
  const Ivar<> broken_;
  Ivar<> changed_;
  bool stalled_ = false;
  std::deque<std::optional<v1::ClientFrame>> frames_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_FAKE_CLIENT_STREAM_H_
