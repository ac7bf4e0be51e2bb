// Forwards that lead back to their own listeners.
#include <unistd.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/registry/registry.h"
#include "tests/server/registry_fixture.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::server {
namespace {

using testing::RawClient;
using testing::TemporaryFolder;

v1::WhereToConnect To(const std::string& host, int port) {
  v1::WhereToConnect where;
  where.mutable_inet()->set_host(host);
  where.mutable_inet()->set_port(port);
  return where;
}
// Over IPv4, whoever may have the port of ::1.
v1::WhereToConnect ToLocalhost(int port) {
  v1::WhereToConnect where = To("localhost", port);
  where.mutable_inet()->set_bind_to_address("127.0.0.1");
  return where;
}
v1::WhereToConnect ToFile(const std::string& path) {
  v1::WhereToConnect where;
  where.mutable_unix_socket()->set_path(path);
  return where;
}

// "OK", or "REASON FIELD".
template <typename T>
std::string Shown(const absl::StatusOr<T>& result) {
  if (result.ok()) return "OK";
  return ReasonOf(result.status()) + " " + DetailOf(result.status()).field;
}

constexpr char kUpstream[] = "handler.forward.upstream.";

class SelfForwardTest : public RegistryTest {
 protected:
  static v1::CreateListenerRequest At(const std::string& id,
                                      const std::string& address,
                                      int port = 0) {
    v1::CreateListenerRequest request = Request(id);
    auto* inet =
        request.mutable_spec()->mutable_where_to_listen()->mutable_inet();
    inet->set_address(address);
    inet->set_port(port);
    return request;
  }
  static v1::CreateListenerRequest OnLoopbackInterface(const std::string& id) {
    v1::CreateListenerRequest request = At(id, "127.0.0.1");
    request.mutable_spec()
        ->mutable_where_to_listen()
        ->mutable_inet()
        ->set_bind_to_interface("lo");
    return request;
  }
  static v1::CreateListenerRequest AtFile(const std::string& id,
                                          const std::string& path) {
    v1::CreateListenerRequest request = Request(id);
    request.mutable_spec()
        ->mutable_where_to_listen()
        ->mutable_unix_socket()
        ->set_path(path);
    return request;
  }
  static v1::CreateListenerRequest Forwarding(
      v1::CreateListenerRequest request, const v1::WhereToConnect& upstream) {
    *request.mutable_spec()
         ->mutable_handler()
         ->mutable_forward()
         ->mutable_upstream() = upstream;
    return request;
  }
  // The port on which it listens.
  int MustCreate(const v1::CreateListenerRequest& request) {
    const auto listener = TryCreate(request);
    EXPECT_TRUE(listener.ok()) << listener.status();
    return listener->status().listening_on().inet().port();
  }
  // One on which nobody listens.
  int FreePort() {
    const int port = MustCreate(At("free", "127.0.0.1"));
    Close("free");
    EXPECT_TRUE(DeleteNow(*registry_, "free").ok());
    return port;
  }
  absl::StatusOr<v1::Listener> Update(const std::string& id,
                                      const v1::WhereToConnect& upstream) {
    v1::UpdateListenerRequest request;
    *request.mutable_listener()
         ->mutable_spec()
         ->mutable_handler()
         ->mutable_forward()
         ->mutable_upstream() = upstream;
    request.mutable_update_mask()->add_paths("spec.handler");
    return UpdateNow(*registry_, id, request);
  }

  // What a client of the listener sees.
  std::string AskOnce(const std::string& id) {
    RawClient client = Connect(id);
    (void)client.Send("ping");
    return client.Receive();
  }
  RawClient Connect(const std::string& id) {
    const v1::Listener listener = registry_->Get(id)->message();
    const v1::Address& on = listener.status().listening_on();
    RawClient client(loop(), [this](const std::function<bool()>& condition) {
      return RunUntil(condition);
    });
    const AnyAddress address =
        on.has_inet()
            ? AnyAddress(Inet::Address(asio::ip::address_v4::loopback(),
                                       uint16_t(on.inet().port())))
            : AnyAddress(Unix::Address(on.unix_socket().path()));
    (void)client.Connect(address);
    return client;
  }
  // Waits until nothing is connected; how many there have been, by listener.
  std::map<std::string, int64_t> AcceptedInTheEnd(
      const std::vector<std::string>& ids) {
    RunUntil([this] { return num_connections() == 0; });
    std::map<std::string, int64_t> accepted;
    for (const std::string& id : ids) {
      accepted[id] = registry_->Get(id)->message().status().accepted_total();
    }
    return accepted;
  }

  using Accepted = std::map<std::string, int64_t>;
  const TemporaryFolder folder_;
};

// --- What is certain is refused -------------------------------------------

struct Row {
  const char* listens;
  const char* upstream;
  bool is_itself;
};
constexpr Row kRows[] = {
    {"127.0.0.1", "127.0.0.1", true},
    {"127.0.0.1", "0.0.0.0", true},
    {"127.0.0.1", "::ffff:127.0.0.1", true},
    {"127.0.0.1", "127.0.0.2", false},
    {"127.0.0.1", "::1", false},
    {"127.0.0.1", "localhost", false},  // It may be ::1.
    {"*", "127.0.0.1", true},
    {"*", "127.9.8.7", true},
    {"0.0.0.0", "0.0.0.0", true},
    {"0.0.0.0", "::ffff:127.0.0.1", true},
    {"0.0.0.0", "192.0.2.1", false},
    {"0.0.0.0", "::1", false},
    {"::1", "::1", true},
    {"::1", "::", true},
    {"::1", "127.0.0.1", false},
    {"::", "::1", true},
    {"::", "::", true},
    {"::", "127.0.0.1", false},  // It takes IPv6 only.
    {"::", "2001:db8::1", false},
};

TEST_F(SelfForwardTest, AtUpdateThePortIsKnown) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(std::string(row.listens) + " to " + row.upstream);
    const int port = MustCreate(At("self", row.listens));
    EXPECT_EQ(Shown(Update("self", To(row.upstream, port))),
              row.is_itself ? "SELF_CONNECT listener.spec." +
                                  (kUpstream + std::string("inet.host"))
                            : "OK");
    EXPECT_EQ(registry_->Get("self")->message().spec().handler().has_echo(),
              row.is_itself);
    if (row.is_itself) {
      EXPECT_EQ(Shown(Update("self", To(row.upstream, port % 65535 + 1))),
                "OK");
    }
    Close("self");
    EXPECT_TRUE(DeleteNow(*registry_, "self").ok());
  }
}

TEST_F(SelfForwardTest, AtCreateIfThePortIsGiven) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(std::string(row.listens) + " to " + row.upstream);
    const int port = FreePort();
    v1::CreateListenerRequest request =
        Forwarding(At("self", row.listens, port), To(row.upstream, port));
    request.set_validate_only(true);
    const std::string expected =
        row.is_itself
            ? "SELF_CONNECT spec." + (kUpstream + std::string("inet.host"))
            : "OK";
    EXPECT_EQ(Shown(TryCreate(request)), expected);
    // Somebody else may have taken the port by now.
    if (!row.is_itself) continue;
    request.set_validate_only(false);
    EXPECT_EQ(Shown(TryCreate(request)), expected);
  }
}

TEST_F(SelfForwardTest, ByWayOfOthers) {
  const int a = MustCreate(At("a", "127.0.0.1"));
  const int b = MustCreate(Forwarding(At("b", "*"), To("127.0.0.1", a)));
  const int c =
      MustCreate(Forwarding(At("c", "127.0.0.1"), To("127.0.0.1", b)));
  EXPECT_EQ(Shown(Update("a", To("127.0.0.1", c))),
            "SELF_CONNECT listener.spec.handler.forward.upstream.inet.host");
  // What is closed leads nowhere.
  Close("b");
  EXPECT_EQ(Shown(Update("a", To("127.0.0.1", c))), "OK");
}

TEST_F(SelfForwardTest, OneThatForwardsNoMoreLeadsNowhere) {
  const int a = MustCreate(At("a", "127.0.0.1"));
  const int b =
      MustCreate(Forwarding(At("b", "127.0.0.1"), To("127.0.0.1", a)));
  v1::UpdateListenerRequest to_echo;
  to_echo.mutable_listener()->mutable_spec()->mutable_handler()->mutable_echo();
  to_echo.mutable_update_mask()->add_paths("spec.handler");
  EXPECT_EQ(Shown(Update("a", To("127.0.0.1", b))).substr(0, 12),
            "SELF_CONNECT");
  ASSERT_TRUE(UpdateNow(*registry_, "b", to_echo).ok());
  EXPECT_EQ(Shown(Update("a", To("127.0.0.1", b))), "OK");
  EXPECT_EQ(AskOnce("a"), "ping");
}

TEST_F(SelfForwardTest, ASharedPortMayBeAnothers) {
  v1::CreateListenerRequest request = At("self", "127.0.0.1");
  request.mutable_spec()
      ->mutable_where_to_listen()
      ->mutable_inet()
      ->set_reuse_port(true);
  const int port = MustCreate(request);
  EXPECT_EQ(Shown(Update("self", To("127.0.0.1", port))), "OK");
}

// Somebody else may have the port on the other interfaces.
TEST_F(SelfForwardTest, APortOfOneInterfaceMayBeAnothers) {
  const int port = MustCreate(OnLoopbackInterface("self"));
  EXPECT_EQ(Shown(Update("self", To("127.0.0.1", port))), "OK");
}

TEST_F(SelfForwardTest, ADualStackListenerTakesIpv4Too) {
  for (const char* upstream : {"127.0.0.1", "0.0.0.0", "::1"}) {
    SCOPED_TRACE(upstream);
    v1::CreateListenerRequest request = At("self", "::");
    request.mutable_spec()
        ->mutable_where_to_listen()
        ->mutable_inet()
        ->set_dual_stack(true);
    const int port = MustCreate(request);
    EXPECT_EQ(Shown(Update("self", To(upstream, port))),
              "SELF_CONNECT listener.spec.handler.forward.upstream.inet.host");
    EXPECT_EQ(Shown(TryCreate(
                  Forwarding(At("other", "127.0.0.2"), To(upstream, port)))),
              "OK");
    // By way of the other.
    const int other = registry_->Get("other")
                          ->message()
                          .status()
                          .listening_on()
                          .inet()
                          .port();
    EXPECT_EQ(Shown(Update("self", To("127.0.0.2", other))),
              "SELF_CONNECT listener.spec.handler.forward.upstream.inet.host");
    Close("self");
    Close("other");
    EXPECT_TRUE(DeleteNow(*registry_, "self").ok());
    EXPECT_TRUE(DeleteNow(*registry_, "other").ok());
  }
}

TEST_F(SelfForwardTest, AnAbstractNameIsItself) {
  const std::string nul(1, '\0');
  const std::string name = nul + folder_.path() + "/a";
  const std::string other = nul + folder_.path() + "/b";
  constexpr char kItself[] =
      "SELF_CONNECT spec.handler.forward.upstream.unix_socket.path";
  EXPECT_EQ(Shown(TryCreate(Forwarding(AtFile("self", name), ToFile(name)))),
            kItself);
  MustCreate(Forwarding(AtFile("a", name), ToFile(other)));
  EXPECT_EQ(Shown(TryCreate(Forwarding(AtFile("b", other), ToFile(name)))),
            kItself);
  MustCreate(AtFile("b", other));
  EXPECT_EQ(AskOnce("a"), "ping");
  const absl::Status again = TryCreate(AtFile("again", other)).status();
  EXPECT_EQ(again.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonOf(again), "ADDRESS_IN_USE");
}

TEST_F(SelfForwardTest, AFileIsItselfByEveryName) {
  const std::string path = folder_.File("s");
  ASSERT_EQ(symlink(folder_.path().c_str(), folder_.File("here").c_str()), 0);
  const std::string expected =
      "SELF_CONNECT spec.handler.forward.upstream.unix_socket.path";
  for (const char* name : {"s", "./s", "here/s"}) {
    EXPECT_EQ(Shown(TryCreate(Forwarding(AtFile("self", path),
                                         ToFile(folder_.File(name))))),
              expected)
        << name;
  }
  MustCreate(AtFile("self", path));
  ASSERT_EQ(link(path.c_str(), folder_.File("twin").c_str()), 0);
  ASSERT_EQ(symlink("s", folder_.File("link").c_str()), 0);
  for (const char* name : {"s", "here/s", "twin", "link"}) {
    EXPECT_EQ(Shown(Update("self", ToFile(folder_.File(name)))),
              "SELF_CONNECT listener.spec.handler.forward.upstream."
              "unix_socket.path")
        << name;
  }
  EXPECT_EQ(Shown(Update("self", ToFile(folder_.File("other")))), "OK");
}

// --- What is not is met while it runs -------------------------------------

TEST_F(SelfForwardTest, ByNameAClientIsResetAndNothingIsLeft) {
  const int port = MustCreate(At("self", "127.0.0.1"));
  ASSERT_TRUE(Update("self", ToLocalhost(port)).ok());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(AskOnce("self"), "ECONNRESET");
  EXPECT_EQ(AcceptedInTheEnd({"self"}), (Accepted{{"self", 3}}));
  std::vector<v1::CloseReason> reasons;
  std::string first;
  for (const v1::Event& event : TakeEvents()) {
    if (!event.has_connection_closed()) continue;
    if (first.empty()) first = event.connection_closed().connection().name();
    reasons.push_back(event.connection_closed().connection().close_reason());
  }
  EXPECT_EQ(reasons, std::vector<v1::CloseReason>(
                         3, v1::CLOSE_REASON_UPSTREAM_UNREACHABLE));
  EXPECT_EQ(TakeLog(), std::vector<std::string>{absl::StrCat(
                           "warning: listeners/self ", first,
                           ": upstream tcp:localhost:", port,
                           ": SELF_CONNECT: connect tcp:127.0.0.1:", port,
                           ": it leads back to a listener that the client "
                           "has come through")});
}

TEST_F(SelfForwardTest, ByWayOfOthersNobodyIsVisitedTwice) {
  const int a = MustCreate(At("a", "127.0.0.1"));
  const int b = MustCreate(Forwarding(At("b", "127.0.0.1"), ToLocalhost(a)));
  const int c =
      MustCreate(Forwarding(At("c", "127.0.0.1"), To("127.0.0.1", b)));
  ASSERT_TRUE(Update("a", ToLocalhost(c)).ok());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(AskOnce("a"), "ECONNRESET");
  EXPECT_EQ(AcceptedInTheEnd({"a", "b", "c"}),
            (Accepted{{"a", 20}, {"b", 20}, {"c", 20}}));
}

// Only who accepts it can know; this may be on another thread than the connect.
TEST_F(SelfForwardTest, OnASharedPortItIsKnownWhenItComesBack) {
  v1::CreateListenerRequest request = At("self", "127.0.0.1");
  request.mutable_spec()
      ->mutable_where_to_listen()
      ->mutable_inet()
      ->set_reuse_port(true);
  const int port = MustCreate(request);
  ASSERT_TRUE(Update("self", To("127.0.0.1", port)).ok());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(AskOnce("self"), "ECONNRESET");
  EXPECT_EQ(AcceptedInTheEnd({"self"}), (Accepted{{"self", 40}}));
}

TEST_F(SelfForwardTest, OnAPortOfOneInterfaceItIsKnownWhenItComesBack) {
  const int port = MustCreate(OnLoopbackInterface("self"));
  ASSERT_TRUE(Update("self", To("127.0.0.1", port)).ok());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(AskOnce("self"), "ECONNRESET");
  EXPECT_EQ(AcceptedInTheEnd({"self"}), (Accepted{{"self", 40}}));
}

TEST_F(SelfForwardTest, ThroughOneAnotherIsNoLoop) {
  const int echo = MustCreate(At("echo", "127.0.0.1"));
  const int b = MustCreate(Forwarding(At("b", "127.0.0.1"), ToLocalhost(echo)));
  MustCreate(Forwarding(AtFile("file", folder_.File("s")), To("127.0.0.1", b)));
  MustCreate(Forwarding(At("front", "*"), ToFile(folder_.File("s"))));
  for (int i = 0; i < 3; ++i) {
    RawClient client = Connect("front");
    client.Send("ping");
    EXPECT_EQ(client.ReceiveExactly(4), "ping");
  }
  EXPECT_EQ(AcceptedInTheEnd({"front", "file", "b", "echo"}),
            (Accepted{{"front", 3}, {"file", 3}, {"b", 3}, {"echo", 3}}));
}

// A link that changes leads files in a circle.
TEST_F(SelfForwardTest, FilesInACircle) {
  const std::string link_to_b = folder_.File("link");
  MustCreate(Forwarding(AtFile("a", folder_.File("a")), ToFile(link_to_b)));
  MustCreate(
      Forwarding(AtFile("b", folder_.File("b")), ToFile(folder_.File("a"))));
  EXPECT_NE(AskOnce("b"), "ping");  // The link leads nowhere yet.
  EXPECT_EQ(AcceptedInTheEnd({"a", "b"}), (Accepted{{"a", 1}, {"b", 1}}));
  ASSERT_EQ(symlink("b", link_to_b.c_str()), 0);
  for (int i = 0; i < 3; ++i) EXPECT_NE(AskOnce("a"), "ping");
  EXPECT_EQ(AcceptedInTheEnd({"a", "b"}), (Accepted{{"a", 4}, {"b", 4}}));
}

TEST_F(SelfForwardTest, AFileThatBecomesItsOwn) {
  const std::string path = folder_.File("link");
  MustCreate(Forwarding(AtFile("self", folder_.File("s")), ToFile(path)));
  ASSERT_EQ(symlink("s", path.c_str()), 0);
  for (int i = 0; i < 3; ++i) EXPECT_NE(AskOnce("self"), "ping");
  EXPECT_EQ(AcceptedInTheEnd({"self"}), (Accepted{{"self", 3}}));
}

// As many as may be connected are: the one that comes back could not be
// accepted before they end.
TEST_F(SelfForwardTest, AtTheLimitNothingIsStuck) {
  v1::CreateListenerRequest request = At("self", "127.0.0.1");
  request.mutable_spec()->set_max_connections(1);
  const int port = MustCreate(request);
  ASSERT_TRUE(Update("self", ToLocalhost(port)).ok());
  EXPECT_EQ(AskOnce("self"), "ECONNRESET");
  EXPECT_EQ(AcceptedInTheEnd({"self"}), (Accepted{{"self", 1}}));
}

}  // namespace
}  // namespace portreeve::server
