// RawClient: a plain socket that talks to the code under test.
#ifndef PORTREEVE_TESTS_TESTING_RAW_CLIENT_H_
#define PORTREEVE_TESTS_TESTING_RAW_CLIENT_H_

#include <functional>
#include <string>

#include "lib/base/asio.h"
#include "lib/net/address.h"

namespace portreeve::testing {

// Gives what it sees as texts: "ok", "EOF", "ECONNRESET".  It knows nothing of
// the library but the loop, which `run_until` runs while it waits.
class RawClient {
 public:
  using RunUntil = std::function<bool(const std::function<bool()>&)>;

  RawClient(asio::io_context& loop, RunUntil run_until)
      : socket_(loop.get_executor()), run_until_(std::move(run_until)) {}
  RawClient(RawClient&&) = default;
  RawClient& operator=(RawClient&&) = default;

  // Gives "ok", or the name of an errno.  It waits for the kernel, without
  // running the loop.
  std::string Connect(const AnyAddress& address);

  // Does the same without waiting: "EINPROGRESS" where the kernel has not
  // answered.
  std::string StartConnecting(const AnyAddress& address);

  // Gives "ok" or the name of an errno.
  std::string Send(const std::string& data);

  // Waits for something to read, and gives up to `most` bytes of it, "EOF", or
  // the name of an errno.
  std::string Receive(size_t most = 65536);

  // Gives what there is to read without waiting; "nothing" if the connection is
  // open and silent.
  std::string Peek();

  // Waits until exactly `size` bytes or the end have come, and gives what came.
  std::string ReceiveExactly(size_t size);

  // Reads to the end, and gives how many bytes came, and what came last: "EOF"
  // or the name of an errno.
  struct Drained {
    size_t bytes = 0;
    std::string end;
  };
  Drained Drain();

  void CloseSending();  // shutdown(SHUT_WR)
  void Close();
  void Reset();  // close() with SO_LINGER 0

  // Makes the kernel keep little for a reader that does not read.  It throws
  // once the client is connected, since the kernel would not do so any more.
  void ShrinkReceiveBuffer();

  AnyAddress local_address() const;
  StreamSocket& socket() { return socket_; }

 private:
  std::string TryReceive(size_t most);
  std::string AwaitConnection();

  StreamSocket socket_;
  RunUntil run_until_;
  int receive_buffer_ = 0;
  bool waits_for_connection_ = true;
};

// Gives the name of an errno, such as "ECONNRESET".
std::string ErrnoName(int error_number);

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_RAW_CLIENT_H_
