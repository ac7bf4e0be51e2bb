#include "tests/client/frames.h"

#include <string>

namespace portreeve::client {

v1::ServerFrame OpenedFrame(const std::string& name) {
  v1::ServerFrame frame;
  v1::Connection& connection = *frame.mutable_opened()->mutable_connection();
  connection.set_name(name);
  connection.set_listener("listeners/web");
  connection.mutable_peer()->mutable_inet()->set_address("192.0.2.1");
  connection.mutable_peer()->mutable_inet()->set_port(4711);
  connection.mutable_local()->mutable_unix_socket()->set_path("/run/web");
  return frame;
}

v1::ServerFrame DataFrame(const std::string& bytes) {
  v1::ServerFrame frame;
  frame.set_data(bytes);
  return frame;
}

v1::ServerFrame EofFrame(bool reset) {
  v1::ServerFrame frame;
  frame.mutable_eof()->set_reset(reset);
  return frame;
}

v1::ServerFrame MovedFrame() {
  v1::ServerFrame frame;
  frame.mutable_moved();
  return frame;
}

v1::ServerFrame ClosedFrame(v1::CloseReason reason) {
  v1::ServerFrame frame;
  frame.mutable_closed()->set_reason(reason);
  return frame;
}

grpc::Status Echo(const v1::ClientFrame& first, FakeDaemon::Frames& frames) {
  frames.Write(OpenedFrame(first.has_attach() ? first.attach().connection()
                                              : "connections/9"));
  v1::ClientFrame frame;
  while (frames.Read(&frame)) {
    switch (frame.kind_case()) {
      case v1::ClientFrame::kData:
        frames.Write(DataFrame(frame.data()));
        break;
      case v1::ClientFrame::kEof:
        frames.Write(EofFrame());
        break;
      case v1::ClientFrame::kRaised:
        frames.Write(ClosedFrame(v1::CLOSE_REASON_HANDLER_ERROR));
        return grpc::Status::OK;
      default:
        frames.Write(ClosedFrame(v1::CLOSE_REASON_HANDLER_DONE));
        return grpc::Status::OK;
    }
  }
  return grpc::Status::CANCELLED;
}

}  // namespace portreeve::client
