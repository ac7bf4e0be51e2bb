// Sockets of the test on addresses that the daemon knows.
#ifndef PORTREEVE_TESTS_MODEL_ENDPOINT_H_
#define PORTREEVE_TESTS_MODEL_ENDPOINT_H_

#include <string>

#include "portreeve/v1/connection.pb.h"

namespace portreeve::model {

// All descriptors that these give are non-blocking; -1 for none, with errno.

// Connects to 127.0.0.1:`port`, or to `path` unless it is empty.
// `receive_buffer` is SO_RCVBUF, 0 for the kernel's own.
int ConnectTo(int port, const std::string& path, int receive_buffer);

// A socket on a port of the OS of 127.0.0.1, or on `path` unless it is empty,
// that listens.  What it accepts has `receive_buffer`.
int Listen(const std::string& path, int receive_buffer);
// A socket on a port of the OS to which nobody can connect.
int BindOnly();
// The same on ::1, and on the port of `listening`: so that by the name of this
// machine nobody else is found on that port.  -1 with EADDRINUSE if somebody
// else has it; with another errno where there is no IPv6.
int BindBeside(int listening);
int Accept(int listening);

int LocalPort(int fd);
// `ADDRESS:PORT`, or the path: the same as Key() of that end's address in the
// daemon's words.
std::string LocalKey(int fd, const std::string& path);
std::string Key(const v1::Address& address);

}  // namespace portreeve::model

#endif  // PORTREEVE_TESTS_MODEL_ENDPOINT_H_
