// What the control plane says below gRPC, in frames of HTTP/2 (RFC 9113).
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "tests/server/plain_socket.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr uint8_t kSettings = 4;
constexpr uint8_t kPing = 6;
constexpr uint8_t kGoAway = 7;
constexpr uint8_t kAck = 1;
constexpr size_t kHeaderBytes = 9;

// On stream 0, without flags; at most 255 bytes of payload.
std::string Frame(uint8_t type, const std::string& payload) {
  std::string frame(kHeaderBytes, '\0');
  frame[2] = static_cast<char>(payload.size());
  frame[3] = static_cast<char>(type);
  return frame + payload;
}

// Reads frames of a connection that has just been opened.
class Frames {
 public:
  explicit Frames(PlainClient& client) : client_(client) {
    client_.Send(kPreface + Frame(kSettings, ""));
  }

  struct Header {
    uint8_t type = kGoAway;
    uint8_t flags = 0;
  };
  // The next one; the end of the connection shows as GOAWAY.
  Header Next() {
    if (!Fill(kHeaderBytes)) return {};
    const auto byte = [this](size_t i) {
      return static_cast<uint8_t>(received_[i]);
    };
    const size_t size = (byte(0) << 16) + (byte(1) << 8) + byte(2);
    const Header header{byte(3), byte(4)};
    if (!Fill(kHeaderBytes + size)) return {};
    received_.erase(0, kHeaderBytes + size);
    return header;
  }

 private:
  bool Fill(size_t size) {
    while (received_.size() < size) {
      const std::string more = client_.Receive();
      if (more == "EOF" || more == "ECONNRESET") return false;
      received_ += more;
    }
    return true;
  }

  PlainClient& client_;
  std::string received_;
};

int ControlPort(const DaemonProcess& daemon) {
  const std::string target = daemon.Target();
  return std::stoi(target.substr(target.rfind(':') + 1));
}

// A client that looks often whether the daemon is there, without any call, is
// answered: by gRPC's default the third ping too many would end the connection.
TEST(ControlPlaneTest, AnswersEveryPingOfAnIdleClient) {
  DaemonProcess daemon;
  ASSERT_TRUE(daemon.WaitUntilReady());
  PlainClient client(ControlPort(daemon));
  Frames frames(client);
  for (int i = 0; i < 100; ++i) {
    client.Send(Frame(kPing, std::string(8, static_cast<char>(i))));
    Frames::Header header;
    do {
      header = frames.Next();
      ASSERT_NE(header.type, kGoAway) << "instead of the answer to " << i;
    } while (header.type != kPing || (header.flags & kAck) == 0);
  }
}

}  // namespace
}  // namespace portreeve::testing
