// FakeNameServer: a DNS server on a UDP port of this machine.
#ifndef PORTREEVE_TESTS_LIB_CONNECT_FAKE_NAME_SERVER_H_
#define PORTREEVE_TESTS_LIB_CONNECT_FAKE_NAME_SERVER_H_

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <functional>
#include <string>
#include <vector>

namespace portreeve::testing {

namespace asio = boost::asio;

// Answers every question by what the test's function says.  It keeps the loop
// running until Stop().
class FakeNameServer {
 public:
  struct Answer {
    bool silent = false;
    bool truncated = false;  // "Ask again by TCP", where nobody listens.
    int rcode = 0;           // 2: SERVFAIL, 3: NXDOMAIN, 5: REFUSED.
    std::vector<asio::ip::address> addresses;
  };
  // `name` without the last dot; `v6`: it asks for AAAA.
  using Answerer = std::function<Answer(const std::string& name, bool v6)>;

  FakeNameServer(asio::io_context& loop, Answerer answerer)
      : socket_(loop, {asio::ip::address_v4::loopback(), 0}),
        answerer_(std::move(answerer)) {
    Receive();
  }

  // As CaresResolver::Options::servers wants it.
  std::string address() const {
    return "127.0.0.1:" + std::to_string(socket_.local_endpoint().port());
  }

  int num_questions() const { return num_questions_; }

  void Stop() { socket_.close(); }

 private:
  void Receive() {
    socket_.async_receive_from(
        asio::buffer(buffer_), from_,
        [this](boost::system::error_code ec, size_t size) {
          if (ec) return;
          Reply(std::string(buffer_.data(), size));
          Receive();
        });
  }

  void Reply(const std::string& query) {
    ++num_questions_;
    std::string name;
    size_t i = kHeaderBytes;
    for (; query[i] != 0; i += 1 + static_cast<unsigned char>(query[i])) {
      if (!name.empty()) name += '.';
      name += query.substr(i + 1, static_cast<unsigned char>(query[i]));
    }
    const std::string question = query.substr(kHeaderBytes, i + 5 - 12);
    const bool v6 = query[i + 2] == 28;
    const Answer answer = answerer_(name, v6);
    if (answer.silent) return;
    std::string reply = query.substr(0, 2);
    // A response; recursion was desired.
    reply += answer.truncated ? '\x83' : '\x81';
    reply += static_cast<char>(0x80 | answer.rcode);
    for (size_t count :
         {size_t{1}, answer.addresses.size(), size_t{0}, size_t{0}}) {
      reply += '\0';
      reply += static_cast<char>(count);
    }
    reply += question;
    for (const auto& address : answer.addresses) reply += Record(address);
    socket_.send_to(asio::buffer(reply), from_);
  }

  static std::string Record(const asio::ip::address& address) {
    const bool v6 = address.is_v6();
    std::string record("\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04", 12);
    if (v6) {
      record[3] = 28;
      record[11] = 16;
      for (auto byte : address.to_v6().to_bytes()) record += Char(byte);
    } else {
      for (auto byte : address.to_v4().to_bytes()) record += Char(byte);
    }
    return record;
  }

  static char Char(unsigned char byte) { return static_cast<char>(byte); }

  static constexpr size_t kHeaderBytes = 12;
  asio::ip::udp::socket socket_;
  asio::ip::udp::endpoint from_;
  std::array<char, 1500> buffer_;
  const Answerer answerer_;
  int num_questions_ = 0;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_LIB_CONNECT_FAKE_NAME_SERVER_H_
