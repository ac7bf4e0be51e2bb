// What the daemon says of unix clients that have bound their sockets, whatever
// handler serves them: bind(2) takes more names than a `string` field.
#include "tests/testing/unix_names.h"

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "lib/net/address.h"
#include "server/api/utf8.h"
#include "tests/server/remote_fixture.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

class UnixNamesTest : public RemoteFixture {
 protected:
  UnixNamesTest() { EXPECT_EQ(chdir(folder_.path().c_str()), 0); }

  // A spec that listens at a new file.
  v1::ListenerSpec At(v1::ListenerSpec spec) {
    path_ = folder_.File("listener" + std::to_string(++num_files_));
    spec.mutable_where_to_listen()->mutable_unix_socket()->set_path(path_);
    return spec;
  }
  static v1::ListenerSpec ForwardSpec(const std::string& upstream) {
    v1::ListenerSpec spec;
    auto& forward = *spec.mutable_handler()->mutable_forward();
    forward.mutable_upstream()->mutable_unix_socket()->set_path(upstream);
    return spec;
  }
  static v1::ListenerSpec DiscardSpec() {
    v1::ListenerSpec spec;
    spec.mutable_handler()->mutable_discard();
    return spec;
  }

  // The same of every event, list and answer.
  void ExpectTold(const std::string& listener, const UnixName& kind) {
    const std::string path = server::EscapeNonUtf8(kind.name);
    const auto accepted = AwaitEvent([&](const v1::Event& event) {
      return event.connection_accepted().connection().listener() == listener;
    });
    const v1::Connection& connection =
        accepted.connection_accepted().connection();
    EXPECT_EQ(connection.peer().unix_socket().path(), path);
    EXPECT_TRUE(connection.peer().has_unix_socket());
    EXPECT_EQ(connection.local().unix_socket().path(), path_);
    const auto listed = Connections(listener);
    ASSERT_EQ(listed.size(), 1u);
    EXPECT_EQ(listed[0].peer().unix_socket().path(), path);
    grpc::ClientContext context;
    v1::GetConnectionRequest request;
    request.set_name(connection.name());
    v1::Connection got;
    ASSERT_TRUE(connections().GetConnection(&context, request, &got).ok());
    EXPECT_EQ(got.peer().unix_socket().path(), path);
  }

  void ExpectClosed(const std::string& listener, const UnixName& kind) {
    const auto closed = AwaitEvent([&](const v1::Event& event) {
      return event.connection_closed().connection().listener() == listener;
    });
    EXPECT_EQ(
        closed.connection_closed().connection().peer().unix_socket().path(),
        server::EscapeNonUtf8(kind.name));
  }

  // Whether what it sends comes back.
  static void ExpectEcho(const Descriptor& client) {
    ASSERT_EQ(send(client.get(), "hi", 2, MSG_NOSIGNAL), 2);
    char answer[2];
    ASSERT_EQ(recv(client.get(), answer, sizeof answer, MSG_WAITALL), 2);
    EXPECT_EQ(std::string(answer, 2), "hi");
  }

  // Connects a client of each kind to a listener of its own by `spec`, which
  // `expect` is given with the socket; then it leaves.
  template <typename Expect>
  void ServeEachKind(const v1::ListenerSpec& spec, Expect expect) {
    for (const UnixName& kind : UnixNames(folder_.path())) {
      SCOPED_TRACE(kind.label);
      const std::string listener = Create(At(spec)).name();
      Descriptor client = ConnectedUnixSocket(kind.name, path_);
      ExpectTold(listener, kind);
      expect(listener, client);
      client = Descriptor();
      ExpectClosed(listener, kind);
    }
  }

  const TemporaryFolder folder_;
  int num_files_ = 0;
  std::string path_;  // Of the last At().
};

TEST_F(UnixNamesTest, OfEcho) {
  ServeEachKind(EchoSpec(), [](const std::string&, const Descriptor& client) {
    ExpectEcho(client);
  });
}

TEST_F(UnixNamesTest, OfDiscard) {
  ServeEachKind(DiscardSpec(), [](const std::string&, const Descriptor&) {});
}

TEST_F(UnixNamesTest, OfForward) {
  Create(At(EchoSpec()));
  const std::string upstream = path_;
  const auto expect_forwarded = [&](const std::string& listener,
                                    const Descriptor& client) {
    ExpectEcho(client);
    EXPECT_EQ(Connections(listener).at(0).upstream().unix_socket().path(),
              upstream);
  };
  ServeEachKind(ForwardSpec(upstream), expect_forwarded);
}

TEST_F(UnixNamesTest, OfRemote) {
  for (const UnixName& kind : UnixNames(folder_.path())) {
    SCOPED_TRACE(kind.label);
    const std::string listener = Create(At(RemoteSpec())).name();
    WorkerCall worker(handlers(), listener);
    Descriptor client = ConnectedUnixSocket(kind.name, path_);
    const v1::Connection offered = worker.ReadOffer();
    EXPECT_EQ(offered.peer().unix_socket().path(),
              server::EscapeNonUtf8(kind.name));
    SocketCall call(connections(), offered.name());
    EXPECT_EQ(call.ReadOpened().peer().unix_socket().path(),
              server::EscapeNonUtf8(kind.name));
    ExpectTold(listener, kind);
    client = Descriptor();
    call.ReadEof();
    call.Send(DoneFrame());
    EXPECT_EQ(call.Rest(), "closed PEER_CLOSED|OK");
    ExpectClosed(listener, kind);
  }
}

TEST_F(UnixNamesTest, OfDropped) {
  v1::ListenerSpec spec = EchoSpec();
  spec.set_drop_incoming_connections(true);
  for (const UnixName& kind : UnixNames(folder_.path())) {
    SCOPED_TRACE(kind.label);
    const std::string listener = Create(At(spec)).name();
    const Descriptor client = ConnectedUnixSocket(kind.name, path_);
    const auto dropped = AwaitEvent([&](const v1::Event& event) {
      return event.connection_dropped().connection().listener() == listener;
    });
    EXPECT_EQ(
        dropped.connection_dropped().connection().peer().unix_socket().path(),
        server::EscapeNonUtf8(kind.name));
  }
}

// The daemon as the client: what it dials has the path that was asked for, or
// the abstract name; one of more than 107 bytes, or with a NUL inside, is
// refused.
TEST_F(UnixNamesTest, OfUpstreams) {
  for (const UnixName& kind : UnixNames(folder_.path())) {
    if (kind.name.empty()) continue;
    SCOPED_TRACE(kind.label);
    const Descriptor upstream = BoundUnixSocket(kind.name);
    ASSERT_EQ(listen(upstream.get(), 1), 0);
    if (kind.name.find('\xff') != std::string::npos) {
      // No `string` field has it: gRPC refuses the call.
      continue;
    }
    const bool is_path = kind.name.find('\0', 1) == std::string::npos &&
                         kind.name.size() <= kMaxUnixPathBytes;
    SocketCall call(connections(), &SocketCall::Stub::Dial);
    v1::ClientFrame frame;
    auto& dial = *frame.mutable_dial();
    dial.mutable_where_to_connect()->mutable_unix_socket()->set_path(kind.name);
    call.Send(frame);
    grpc::ClientContext context;
    v1::CreateListenerRequest request;
    *request.mutable_spec() = At(ForwardSpec(kind.name));
    v1::Listener created;
    const grpc::Status status =
        listeners().CreateListener(&context, request, &created);
    if (!is_path) {
      EXPECT_EQ(Shown(status),
                "3 / INVALID_FIELD / "
                "spec.handler.forward.upstream.unix_socket.path");
      EXPECT_EQ(call.Rest(),
                "3 / INVALID_FIELD / dial.where_to_connect.unix_socket.path");
      continue;
    }
    const v1::Connection opened = call.ReadOpened();
    EXPECT_EQ(opened.peer().unix_socket().path(), kind.name);
    EXPECT_EQ(opened.local().unix_socket().path(), "");
    const Descriptor peer(accept(upstream.get(), nullptr, nullptr));
    EXPECT_TRUE(call.SendData("hi"));
    char received[2];
    EXPECT_EQ(recv(peer.get(), received, sizeof received, MSG_WAITALL), 2);
    ASSERT_TRUE(status.ok());
    const Descriptor client = ConnectedUnixSocket("", path_);
    const Descriptor forwarded(accept(upstream.get(), nullptr, nullptr));
    ASSERT_EQ(send(client.get(), "hi", 2, MSG_NOSIGNAL), 2);
    EXPECT_EQ(recv(forwarded.get(), received, sizeof received, MSG_WAITALL), 2);
  }
}

}  // namespace
}  // namespace portreeve::testing
