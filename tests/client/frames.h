// What a fake daemon does with the streams that are sockets.
#ifndef PORTREEVE_TESTS_CLIENT_FRAMES_H_
#define PORTREEVE_TESTS_CLIENT_FRAMES_H_

#include <string>

#include "portreeve/v1/connection.pb.h"
#include "tests/client/fake_daemon.h"

namespace portreeve::client {

v1::ServerFrame OpenedFrame(const std::string& name);
v1::ServerFrame DataFrame(const std::string& bytes);
v1::ServerFrame EofFrame(bool reset = false);
v1::ServerFrame MovedFrame();
v1::ServerFrame ClosedFrame(v1::CloseReason reason);

// A connection whose peer sends back what it receives: `opened`, data for data,
// `eof` for eof, and `closed` with HANDLER_DONE at `done` and `reset`, and with
// HANDLER_ERROR at `raised`.
grpc::Status Echo(const v1::ClientFrame& first, FakeDaemon::Frames& frames);

}  // namespace portreeve::client

#endif  // PORTREEVE_TESTS_CLIENT_FRAMES_H_
