// ForwardFixture: a client and an upstream, with the handler forward between.
#ifndef PORTREEVE_TESTS_SERVER_FORWARD_FIXTURE_H_
#define PORTREEVE_TESTS_SERVER_FORWARD_FIXTURE_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "lib/base/descriptor.h"
#include "lib/base/poller.h"
#include "server/handlers/handlers.h"
#include "tests/server/handlers_fixture.h"
#include "tests/testing/raw_listener.h"

namespace portreeve::testing {

// What client and upstream are.
struct ForwardKind {
  const char* name;
  bool unix_client;
  bool unix_upstream;
  bool by_name = false;
};

inline constexpr ForwardKind kTcpToTcp{"TcpToTcp", false, false};
inline constexpr ForwardKind kTcpToName{"TcpToName", false, false, true};
inline constexpr ForwardKind kTcpToUnix{"TcpToUnix", false, true};
inline constexpr ForwardKind kUnixToTcp{"UnixToTcp", true, false};

inline constexpr ForwardKind kForwardKinds[] = {kTcpToTcp, kTcpToName,
                                                kTcpToUnix, kUnixToTcp};
inline constexpr ForwardKind kWithTcpClients[] = {kTcpToTcp, kTcpToName,
                                                  kTcpToUnix};
inline constexpr ForwardKind kWithTcpUpstreams[] = {kTcpToTcp, kTcpToName,
                                                    kUnixToTcp};
inline constexpr ForwardKind kWithUnixSides[] = {kTcpToUnix, kUnixToTcp};

// Does something in the midst of a round of the poller: after what was ready
// before Ready() is told, and before what was made ready after it.
class RoundHook final : public Poller::Watch {
 public:
  RoundHook(Poller& poller, std::function<void()> f)
      : poller_(poller), f_(std::move(f)) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    read_ = Descriptor(ends[0]);
    write_ = Descriptor(ends[1]);
    EXPECT_EQ(poller_.Add(read_.get(), EPOLLIN | EPOLLET, *this), 0);
  }
  ~RoundHook() { poller_.Remove(*this); }

  void Ready() { EXPECT_EQ(write(write_.get(), "x", 1), 1); }

 private:
  void OnReady(uint32_t, int) override { f_(); }

  Poller& poller_;
  const std::function<void()> f_;
  Descriptor read_;
  Descriptor write_;
};

// A unix socket that is closed by the daemon with nothing unread shows an end
// of file in every case: there is no reset to be seen there.
class ForwardFixture : public HandlersFixture,
                       public ::testing::WithParamInterface<ForwardKind> {
 protected:
  ForwardFixture() {
    const AnyAddress address =
        GetParam().unix_upstream
            ? AnyAddress(Unix::Address(NewFile()))
            : AnyAddress(Inet::Address(asio::ip::address_v4::loopback(), 0));
    listener_ = std::make_unique<RawListener>(
        loop(), [this](const auto& condition) { return RunUntil(condition); },
        address);
  }

  server::ForwardOptions ToUpstream() const {
    server::ForwardOptions options;
    if (GetParam().unix_upstream) {
      options.upstream = listener_->where_unix();
    } else if (GetParam().by_name) {
      options.upstream = WhereToConnect<Inet>::OfHostAndPort(
          "localhost", listener_->inet_address().port());
    } else {
      options.upstream = listener_->where();
    }
    return options;
  }

  // Connects a client; the loop has not run since.
  RawClient Forward(ServerOptions options = {}) {
    return Forward(ToUpstream(), std::move(options));
  }
  RawClient Forward(server::ForwardOptions forward,
                    ServerOptions options = {}) {
    forward.on_connected = [this](int64_t, const auto&) { connected_ = true; };
    forward_ = forward;
    AnyHandler handler = server::ForwardHandler(std::move(forward));
    server_ = GetParam().unix_client
                  ? &ServeUnix(std::move(handler), std::move(options))
                  : &Serve(std::move(handler), std::move(options));
    return ClientOf(*server_);
  }

  // Connects one through to upstream_.
  RawClient Through(ServerOptions options = {}) {
    return Through(ToUpstream(), std::move(options));
  }
  RawClient Through(server::ForwardOptions forward,
                    ServerOptions options = {}) {
    RawClient client = Forward(std::move(forward), std::move(options));
    upstream_.emplace(listener_->Accept());
    RunUntil([this] { return connected_; });
    return client;
  }

  std::shared_ptr<AnyConnection> connection() const {
    return server_->connections().begin()->second;
  }
  // Why the client's connection was closed, once it is.
  CloseReason Reason() { return ClosedReasons(1).at(0); }

  std::unique_ptr<RawListener> listener_;
  server::ForwardOptions forward_;  // Of server_.
  AnyServer* server_ = nullptr;
  bool connected_ = false;
  std::optional<RawClient> upstream_;
};

inline std::string NameOfKind(
    const ::testing::TestParamInfo<ForwardKind>& info) {
  return info.param.name;
}

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_FORWARD_FIXTURE_H_
