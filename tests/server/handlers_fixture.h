// HandlersFixture: servers with the daemon's handlers, and what they tell.
#ifndef PORTREEVE_TESTS_SERVER_HANDLERS_FIXTURE_H_
#define PORTREEVE_TESTS_SERVER_HANDLERS_FIXTURE_H_

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "lib/serve/any_server.h"
#include "server/handlers/handlers.h"
#include "tests/testing/loop_fixture.h"
#include "tests/testing/raw_client.h"
#include "tests/testing/server_fixture.h"
#include "tests/testing/test_lanes.h"

namespace portreeve::testing {

class HandlersFixture : public LoopFixture, protected ServerObserver {
 protected:
  AnyServer& Serve(AnyHandler handler, ServerOptions options = {}) {
    return ServeAt(WhereToListen<Inet>::OfLocalhost(0), std::move(handler),
                   std::move(options));
  }
  // The same on a new file.
  AnyServer& ServeUnix(AnyHandler handler, ServerOptions options = {}) {
    return ServeAt(WhereToListen<Unix>::OfFile(NewFile()), std::move(handler),
                   std::move(options));
  }
  std::string NewFile() {
    ++num_files_;
    return LastFile();
  }
  std::string LastFile() const {
    return folder_.File("socket" + std::to_string(num_files_));
  }

  // TCP_NODELAY of this process's descriptor that is connected to `peer`.
  static bool NoDelayOf(const AnyAddress& peer) {
    int value = 0;
    for (int fd = 0; fd < 1024; ++fd) {
      Inet::Address address;
      auto size = static_cast<socklen_t>(address.capacity());
      if (getpeername(fd, address.data(), &size) != 0) continue;
      if (AnyAddress(address) != peer) continue;
      socklen_t value_size = sizeof value;
      (void)getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &value_size);
    }
    return value != 0;
  }

  RawClient ClientOf(const AnyServer& server) {
    RawClient client(loop(), [this](const std::function<bool()>& condition) {
      return RunUntil(condition);
    });
    EXPECT_EQ(client.Connect(server.listening_on()), "ok");
    return client;
  }

  // Sends to a peer that does not read, until the daemon takes no more.
  void Flood(RawClient& sender) {
    const std::string block(64 * 1024, 'x');
    for (int refused = 0; refused < 10;) {
      const bool taken = SendNow(sender, block);
      refused = taken ? 0 : refused + 1;
      Settle();
    }
  }

  // Whether the kernel takes any of `data`, without waiting.
  static bool SendNow(RawClient& sender, const std::string& data) {
    return send(sender.socket().native_handle(), data.data(), data.size(),
                MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
  }

  // Runs `count` handlers of the loop, where there are as many: what follows
  // happens in the midst of something.
  void Step(int count) {
    for (int i = 0; i < count; ++i) {
      loop().restart();
      loop().poll_one();
    }
  }

  // Waits until the reset of a peer that has sent FIN before is seen.
  void ExpectReset(RawClient& client) {
    const int fd = client.socket().native_handle();
    RunUntil([&] {
      return send(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
             (errno == EPIPE || errno == ECONNRESET);
    });
  }

  // Waits until `count` connections have been closed; why each was.
  const std::vector<CloseReason>& ClosedReasons(size_t count) {
    RunUntil([&] { return reasons_.size() >= count; });
    return reasons_;
  }

  // Has `by` torn down in the end in place of `server`, which is destroyed.
  AnyServer& Replace(AnyServer& server, std::unique_ptr<AnyServer> by) {
    for (auto& owned : servers_) {
      if (owned.get() != &server) continue;
      owned = std::move(by);
      return *owned;
    }
    throw std::runtime_error("there is no such server");
  }

  void TearDown() override {
    for (auto& server : servers_) {
      EXPECT_EQ(server->handler_errors_total(), 0);
      Run(server->TearDown());
    }
    servers_.clear();
  }

 private:
  template <AddressKind A>
  AnyServer& ServeAt(const WhereToListen<A>& where, AnyHandler handler,
                     ServerOptions options) {
    options.observer = this;
    options.lanes = &lanes_.set();
    auto server = AnyServer::Create<A>(executor(), where, RaiseHandlerError(),
                                       std::move(handler), std::move(options));
    if (!server.ok()) throw std::runtime_error(server.status().ToString());
    servers_.push_back(*std::move(server));
    return *servers_.back();
  }

  void OnClosed(const std::shared_ptr<AnyConnection>& connection) override {
    reasons_.push_back(connection->reason());
  }

  TemporaryFolder folder_;
  int num_files_ = 0;
  TestLanes lanes_{loop()};
  std::vector<CloseReason> reasons_;
  std::vector<std::unique_ptr<AnyServer>> servers_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_HANDLERS_FIXTURE_H_
