#include "tests/server/stream_client.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/server/service_fixture.h"

namespace portreeve::testing {
namespace {

std::chrono::system_clock::time_point Deadline() {
  return std::chrono::system_clock::now() + std::chrono::seconds(30);
}

v1::HandleRequest StartRequest(const std::string& listener) {
  v1::HandleRequest request;
  request.mutable_start()->set_listener(listener);
  return request;
}

// "PEER_RESET".
std::string ReasonName(v1::CloseReason reason) {
  const std::string prefix = "CLOSE_REASON_";
  return v1::CloseReason_Name(reason).substr(prefix.size());
}

}  // namespace

v1::ClientFrame AttachFrame(const std::string& connection) {
  v1::ClientFrame frame;
  frame.mutable_attach()->set_connection(connection);
  return frame;
}

v1::ClientFrame DataFrame(const std::string& data) {
  v1::ClientFrame frame;
  frame.set_data(data);
  return frame;
}

v1::ClientFrame EofFrame() {
  v1::ClientFrame frame;
  frame.mutable_eof();
  return frame;
}

v1::ClientFrame DoneFrame() {
  v1::ClientFrame frame;
  frame.mutable_done();
  return frame;
}

v1::ClientFrame ResetFrame() {
  v1::ClientFrame frame;
  frame.mutable_reset();
  return frame;
}

v1::ClientFrame RaisedFrame(const std::string& message) {
  v1::ClientFrame frame;
  frame.mutable_raised()->set_message(message);
  return frame;
}

SocketCall::SocketCall(Stub& stub, Method method)
    : stream_((context_.set_deadline(Deadline()), (stub.*method)(&context_))) {}

SocketCall::SocketCall(Stub& stub, const std::string& connection)
    : SocketCall(stub, &Stub::Attach) {
  Send(AttachFrame(connection));
}

SocketCall::~SocketCall() {
  if (finished_) return;
  Cancel();
  stream_->Finish();
}

v1::Connection SocketCall::ReadOpened() {
  v1::ServerFrame frame;
  EXPECT_TRUE(stream_->Read(&frame));
  EXPECT_TRUE(frame.has_opened()) << frame.ShortDebugString();
  return frame.opened().connection();
}

std::string SocketCall::ReadData(size_t size) {
  std::string data;
  v1::ServerFrame frame;
  while (data.size() < size && stream_->Read(&frame)) {
    EXPECT_EQ(frame.kind_case(), v1::ServerFrame::kData)
        << frame.ShortDebugString();
    if (!frame.has_data()) break;
    EXPECT_LE(frame.data().size(), size_t{64} << 10);
    EXPECT_GT(frame.data().size(), 0u);
    data += frame.data();
  }
  return data;
}

void SocketCall::ReadEof() {
  v1::ServerFrame frame;
  EXPECT_TRUE(stream_->Read(&frame));
  EXPECT_TRUE(frame.has_eof()) << frame.ShortDebugString();
}

std::string SocketCall::Rest() {
  size_t size = 0;
  return ReadRest(true, &size);
}

std::string SocketCall::Rest(size_t* size) { return ReadRest(false, size); }

std::string SocketCall::ReadRest(bool with_data, size_t* size) {
  *size = 0;
  std::string text;
  bool in_data = false;
  v1::ServerFrame frame;
  while (stream_->Read(&frame)) {
    if (frame.has_data()) {
      *size += frame.data().size();
      if (with_data) text += frame.data();
      in_data = with_data;
      continue;
    }
    if (in_data) text += "|";
    in_data = false;
    if (frame.has_opened()) text += "opened|";
    if (frame.has_eof()) {
      text += frame.eof().reset() ? "eof by reset|" : "eof|";
    }
    if (frame.has_closed()) {
      text += "closed " + ReasonName(frame.closed().reason()) + "|";
    }
  }
  if (in_data) text += "|";
  finished_ = true;
  return text + Shown(stream_->Finish());
}

WorkerCall::WorkerCall(Stub& stub, const std::string& listener)
    : WorkerCall(stub, StartRequest(listener)) {}

WorkerCall::WorkerCall(Stub& stub, const v1::HandleRequest& first)
    : stream_((context_.set_deadline(Deadline()), stub.Handle(&context_))) {
  Send(first);
  stream_->WaitForInitialMetadata();
}

WorkerCall::~WorkerCall() {
  if (finished_) return;
  Cancel();
  stream_->Finish();
}

bool WorkerCall::Send(const v1::HandleRequest& request) {
  return stream_->Write(request);
}

bool WorkerCall::Give(const std::string& id, v1::HandlerVerdict verdict) {
  v1::HandleRequest request;
  request.mutable_verdict()->set_handler_error_id(id);
  request.mutable_verdict()->set_verdict(verdict);
  return Send(request);
}

v1::HandleResponse WorkerCall::Read() {
  v1::HandleResponse response;
  EXPECT_TRUE(stream_->Read(&response));
  return response;
}

v1::Connection WorkerCall::ReadOffer() {
  const v1::HandleResponse response = Read();
  EXPECT_TRUE(response.has_offer()) << response.ShortDebugString();
  return response.offer().connection();
}

void WorkerCall::ReadProgress() {
  const v1::HandleResponse response = Read();
  EXPECT_TRUE(response.has_progress()) << response.ShortDebugString();
}

v1::HandleResponse::HandlerError WorkerCall::ReadQuestion() {
  const v1::HandleResponse response = Read();
  EXPECT_TRUE(response.has_handler_error()) << response.ShortDebugString();
  return response.handler_error();
}

std::string WorkerCall::Rest() {
  std::string text;
  v1::HandleResponse response;
  while (stream_->Read(&response)) {
    if (response.has_offer()) {
      text += "offer " + response.offer().connection().name() + "|";
    }
    if (response.has_handler_error()) text += "handler_error|";
  }
  finished_ = true;
  return text + Shown(stream_->Finish());
}

}  // namespace portreeve::testing
