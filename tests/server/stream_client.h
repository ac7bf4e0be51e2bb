// Blocking clients of Attach, Dial and Handle.
#ifndef PORTREEVE_TESTS_SERVER_STREAM_CLIENT_H_
#define PORTREEVE_TESTS_SERVER_STREAM_CLIENT_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "portreeve/v1/connection.grpc.pb.h"
#include "portreeve/v1/handler.grpc.pb.h"

namespace portreeve::testing {

// Frames.
v1::ClientFrame AttachFrame(const std::string& connection);
v1::ClientFrame DataFrame(const std::string& data);
v1::ClientFrame EofFrame();
v1::ClientFrame DoneFrame();
v1::ClientFrame ResetFrame();
v1::ClientFrame RaisedFrame(const std::string& message);

// One Attach or Dial call.  Every call has a deadline, after which it breaks.
class SocketCall {
 public:
  using Stub = v1::ConnectionService::Stub;
  using Stream = grpc::ClientReaderWriter<v1::ClientFrame, v1::ServerFrame>;
  using Method = std::unique_ptr<Stream> (Stub::*)(grpc::ClientContext*);

  // `method` is &Stub::Attach or &Stub::Dial.
  SocketCall(Stub& stub, Method method);
  // Attach with its first frame.
  SocketCall(Stub& stub, const std::string& connection);
  // Cancels what is not over.
  ~SocketCall();
  SocketCall(const SocketCall&) = delete;
  SocketCall& operator=(const SocketCall&) = delete;

  // False once the call is over.
  bool Send(const v1::ClientFrame& frame) { return stream_->Write(frame); }
  bool SendData(const std::string& data) { return Send(DataFrame(data)); }
  void EndSending() { stream_->WritesDone(); }
  void Cancel() { context_.TryCancel(); }

  // The connection of the next frame, which must be `opened`.
  v1::Connection ReadOpened();
  // Frames of data until `size` bytes have come.
  std::string ReadData(size_t size);
  // The next frame, which must be `eof`.
  void ReadEof();
  // All frames to the end, and the status, in brief, as "text|eof|closed
  // PEER_CLOSED|OK" or "text|eof by reset|closed PEER_RESET|OK".  The data of
  // successive frames is one.
  std::string Rest();
  // The same without data: how much there was is `*size`.
  std::string Rest(size_t* size);

 private:
  std::string ReadRest(bool with_data, size_t* size);

  grpc::ClientContext context_;
  const std::unique_ptr<Stream> stream_;
  bool finished_ = false;
};

// One Handle call, whose first message is sent.
class WorkerCall {
 public:
  using Stub = v1::HandlerService::Stub;

  // Waits until the worker counts, or is refused.
  WorkerCall(Stub& stub, const std::string& listener);
  // With any first message.
  WorkerCall(Stub& stub, const v1::HandleRequest& first);
  // Cancels what is not over.
  ~WorkerCall();
  WorkerCall(const WorkerCall&) = delete;
  WorkerCall& operator=(const WorkerCall&) = delete;

  // The next message, which must be an offer.
  v1::Connection ReadOffer();
  // Its name.
  std::string ReadOffered() { return ReadOffer().name(); }
  // The next message, which must be a sign of life.
  void ReadProgress();
  // The next message, which must be a question.
  v1::HandleResponse::HandlerError ReadQuestion();

  bool Send(const v1::HandleRequest& request);
  bool Give(const std::string& id, v1::HandlerVerdict verdict);
  void EndSending() { stream_->WritesDone(); }
  // Leaves, and waits for nothing.
  void Cancel() { context_.TryCancel(); }
  // Reads what is left, offers as "offer NAME|", and gives the status after it.
  std::string Rest();

 private:
  using Stream =
      grpc::ClientReaderWriter<v1::HandleRequest, v1::HandleResponse>;

  v1::HandleResponse Read();

  grpc::ClientContext context_;
  const std::unique_ptr<Stream> stream_;
  bool finished_ = false;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_STREAM_CLIENT_H_
