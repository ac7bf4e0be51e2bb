// Plain TCP and unix sockets, without the library, for the daemon to meet.
#ifndef PORTREEVE_TESTS_SERVER_PLAIN_SOCKET_H_
#define PORTREEVE_TESTS_SERVER_PLAIN_SOCKET_H_

#include <string>

namespace portreeve::testing {

// One end of a connection; blocking calls with a deadline.
class PlainClient {
 public:
  // Connects to a port of 127.0.0.1, or to a file; fails the test if it cannot.
  explicit PlainClient(int port);
  explicit PlainClient(const std::string& path);
  ~PlainClient();
  PlainClient(PlainClient&& other) noexcept;
  PlainClient(const PlainClient&) = delete;
  PlainClient& operator=(const PlainClient&) = delete;

  void Send(const std::string& data);
  // FIN; it still receives.
  void HalfClose();
  // What came, "EOF", or "ECONNRESET".
  std::string Receive();
  // Whether something is there to receive, now.
  bool HasInput() const;
  // All that comes, with "|EOF" or "|ECONNRESET" after it.
  std::string ReceiveAll();
  // As much as `data` has, which has to be the same.
  void Expect(const std::string& data);
  void Close();
  // RST.
  void Reset();

 private:
  friend class PlainListener;
  struct Accepted {
    int fd;
  };
  explicit PlainClient(Accepted accepted);

  int fd_;
};

// Listens on a port of 127.0.0.1 that the OS chooses.
class PlainListener {
 public:
  explicit PlainListener(int backlog = 16);
  ~PlainListener();
  PlainListener(const PlainListener&) = delete;
  PlainListener& operator=(const PlainListener&) = delete;

  int port() const { return port_; }
  int native_handle() const { return fd_; }
  // Waits for a client.
  PlainClient Accept();
  // Whether one waits.
  bool HasClient() const;
  // Nobody listens there any more.
  void Close();

 private:
  int fd_;
  int port_ = 0;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_PLAIN_SOCKET_H_
