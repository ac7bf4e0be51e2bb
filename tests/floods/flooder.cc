#include "tests/floods/flooder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "lib/base/descriptor.h"

namespace portreeve::testing {
namespace {

constexpr std::chrono::milliseconds kLongestWait{100};

Descriptor Connect(const Flooder::Options& options) {
  if (!options.unix_path.empty()) {
    Descriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    options.unix_path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                      sizeof address),
              0);
    return fd;
  }
  Descriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(options.port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                    sizeof address),
            0);
  return fd;
}

// One connection, with or without TLS; never waits but in Wait().
class Connection {
 public:
  Connection(Descriptor fd, SSL_CTX* tls)
      : fd_(std::move(fd)), ssl_(nullptr, SSL_free) {
    fcntl(fd_.get(), F_SETFL, O_NONBLOCK);
    if (tls == nullptr) return;
    ssl_.reset(SSL_new(tls));
    SSL_set_fd(ssl_.get(), fd_.get());
    SSL_set_connect_state(ssl_.get());
  }

  // How many bytes of `data` went; 0: none for now; -1: it is over.
  int64_t Send(const char* data, size_t size) {
    if (ssl_ == nullptr) {
      const ssize_t sent = send(fd_.get(), data, size, MSG_NOSIGNAL);
      if (sent >= 0) return sent;
      return errno == EAGAIN ? 0 : -1;
    }
    ERR_clear_error();
    const int sent = SSL_write(ssl_.get(), data, static_cast<int>(size));
    if (sent > 0) return sent;
    const int error = SSL_get_error(ssl_.get(), sent);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0
                                                                         : -1;
  }

  // Throws away what came, or adds it to `received`; false: it is over.
  bool Read(std::string* received = nullptr) {
    char buffer[65536];
    for (;;) {
      if (ssl_ == nullptr) {
        const ssize_t n = recv(fd_.get(), buffer, sizeof buffer, 0);
        if (n > 0) {
          if (received != nullptr) received->append(buffer, n);
          continue;
        }
        return n < 0 && errno == EAGAIN;
      }
      ERR_clear_error();
      const int n = SSL_read(ssl_.get(), buffer, sizeof buffer);
      if (n > 0) {
        if (received != nullptr) received->append(buffer, n);
        continue;
      }
      const int error = SSL_get_error(ssl_.get(), n);
      return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
    }
  }

  // Until something comes, for kLongestWait at most.
  void WaitForInput() {
    pollfd poll_fd{fd_.get(), POLLIN, 0};
    (void)poll(&poll_fd, 1, static_cast<int>(kLongestWait.count()));
  }

  // Until more can be sent, or the daemon has ended it: false then.
  bool Wait(bool reads) {
    const bool must_read = reads || ssl_ != nullptr;
    pollfd poll_fd{fd_.get(),
                   static_cast<short>(POLLOUT | (must_read ? POLLIN : 0)), 0};
    (void)poll(&poll_fd, 1, static_cast<int>(kLongestWait.count()));
    return (poll_fd.revents & (POLLERR | POLLHUP)) == 0;
  }

 private:
  Descriptor fd_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
};

// Whether the first stream has a message in what the daemon has sent, or its
// end: RFC 9113, section 4.1.
bool IsAnswered(const std::string& received) {
  constexpr size_t kHeaderSize = 9;
  const auto byte = [&](size_t at) {
    return static_cast<unsigned char>(received[at]);
  };
  for (size_t at = 0; at + kHeaderSize <= received.size();) {
    const bool is_of_first_stream = byte(at + 8) == 1 && byte(at + 7) == 0 &&
                                    byte(at + 6) == 0 && byte(at + 5) == 0;
    const bool is_data = byte(at + 3) == 0;
    const bool ends = byte(at + 3) == 3 || (byte(at + 4) & 1) != 0;
    if (is_of_first_stream && (is_data || ends)) return true;
    at += kHeaderSize +
          (size_t{byte(at)} << 16 | size_t{byte(at + 1)} << 8 | byte(at + 2));
  }
  return false;
}

}  // namespace

Flooder::Flooder(const Options& options)
    : options_(options),
      tls_(nullptr, SSL_CTX_free),
      num_running_(options.num_connections) {
  if (!options.certificate.empty()) {
    tls_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_mode(tls_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE |
                                     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    const unsigned char protocols[] = {2, 'h', '2'};
    SSL_CTX_set_alpn_protos(tls_.get(), protocols, sizeof protocols);
    EXPECT_EQ(SSL_CTX_use_certificate_chain_file(tls_.get(),
                                                 options.certificate.c_str()),
              1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey_file(tls_.get(), options.key.c_str(),
                                          SSL_FILETYPE_PEM),
              1);
  }
  for (int i = 0; i < options.num_connections; ++i) {
    threads_.emplace_back([this] {
      Flood();
      --num_running_;
    });
  }
}

Flooder::~Flooder() {
  for (std::thread& thread : threads_) thread.join();
}

void Flooder::Flood() {
  constexpr size_t kBlock = 1 << 20;
  // Who floods has processors of its own, elsewhere.
  constexpr int kLeastPriority = 19;
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kLeastPriority);
  const auto end = std::chrono::steady_clock::now() + options_.time;
  Connection connection(Connect(options_), tls_.get());
  FloodFrames frames(options_.kind, options_.path, options_.dial);
  std::string received;
  bool awaits_answer = !options_.dial.empty();
  std::string block = frames.Beginning();
  size_t sent = 0;
  while (std::chrono::steady_clock::now() < end) {
    if (sent == block.size() && awaits_answer) {
      if (!connection.Read(&received)) break;
      awaits_answer = !IsAnswered(received);
      if (awaits_answer) connection.WaitForInput();
      continue;
    }
    if (sent == block.size()) {
      block = frames.Next(kBlock);
      sent = 0;
    }
    const int64_t n = connection.Send(block.data() + sent, block.size() - sent);
    if (n > 0) {
      sent += static_cast<size_t>(n);
      bytes_sent_ += n;
    }
    const bool over = n < 0 || (options_.reads && !connection.Read()) ||
                      (n == 0 && !connection.Wait(options_.reads));
    if (!over) continue;
    ++num_ended_;
    return;
  }
}

}  // namespace portreeve::testing
