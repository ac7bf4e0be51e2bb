// ControlAcceptorTest: ControlAcceptor, with the test in gRPC's place, and a
// clock that the test moves.
#ifndef PORTREEVE_TESTS_SERVER_CONTROL_ACCEPTOR_FIXTURE_H_
#define PORTREEVE_TESTS_SERVER_CONTROL_ACCEPTOR_FIXTURE_H_

#include <grpc/grpc.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/control/control_acceptor.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::server {

using testing::RawClient;

inline const AnyAddress kLoopback =
    Inet::Address(asio::ip::make_address("127.0.0.1"), 0);

// Before descriptors are counted: it keeps some for its threads, which trim.
class GrpcEnvironment final : public ::testing::Environment {
  void SetUp() override { grpc_init(); }
};
inline ::testing::Environment* const grpc_environment =
    ::testing::AddGlobalTestEnvironment(new GrpcEnvironment);

class ControlAcceptorTest : public testing::LoopFixture {
 protected:
  // What gRPC would have: it ends as gRPC's connections do.
  struct Given {
    int fd;
    bool is_unix;
  };

  ~ControlAcceptorTest() override {
    for (const Given& given : given_) End(given);
    if (acceptor_) acceptor_->Close();
  }

  void Make(const ControlAcceptor::Limits& limits, bool secure = false) {
    acceptor_ = std::make_unique<ControlAcceptor>(executor(), limits, secure,
                                                  table_, memory_);
  }
  void Listen(const AnyAddress& address, int mode = 0600) {
    const absl::Status status = acceptor_->Listen({address, mode});
    ASSERT_TRUE(status.ok()) << status;
  }
  void Start() {
    (void)acceptor_->Start([this](int fd, bool is_unix) {
      given_.push_back({fd, is_unix});
    });
  }
  // One that listens on loopback.
  void StartOne(const ControlAcceptor::Limits& limits, bool secure = false) {
    Make(limits, secure);
    Listen(kLoopback);
    Start();
  }

  // One more client, of the address number `index`; waits for the kernel only.
  RawClient& Connect(size_t index = 0) {
    clients_.push_back(std::make_unique<RawClient>(
        loop(), [this](const auto& condition) { return RunUntil(condition); }));
    EXPECT_EQ(clients_.back()->Connect(acceptor_->addresses().at(index)), "ok");
    return *clients_.back();
  }
  // Waits until as many were handed over, ever.
  bool AwaitGiven(size_t count) {
    return RunUntil([&] { return given_.size() >= count; });
  }
  // One that is handed over.
  RawClient& ConnectAndAwait(size_t index = 0) {
    const size_t before = given_.size();
    RawClient& client = Connect(index);
    EXPECT_TRUE(AwaitGiven(before + 1));
    return client;
  }

  std::shared_ptr<ControlConnection> Plain(size_t number) {
    return table_.Find("fd:" + std::to_string(given_.at(number).fd));
  }
  // As gRPC does.
  void ReadGiven(size_t number) {
    char data[1 << 14];
    while (recv(given_.at(number).fd, data, sizeof data, MSG_DONTWAIT) > 0) {
    }
  }
  static void End(const Given& given) {
    if (given.fd < 0) return;
    (void)shutdown(given.fd, SHUT_RDWR);
    close(given.fd);
  }
  void EndGiven(size_t number) {
    End(given_.at(number));
    given_.at(number).fd = -1;
  }
  // "nothing" where it is open.
  static std::string Seen(RawClient& client) { return client.Peek(); }

  ControlTable table_{[this] { return time().Now(); }};
  ControlMemory memory_{int64_t{1} << 50, [] { return int64_t{0}; }};
  std::vector<Given> given_;
  std::vector<std::unique_ptr<RawClient>> clients_;
  std::unique_ptr<ControlAcceptor> acceptor_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_TESTS_SERVER_CONTROL_ACCEPTOR_FIXTURE_H_
