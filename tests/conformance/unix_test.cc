// Scenarios (i) and CONFORMANCE S12: unix sockets and their files.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <utility>

#include "lib/base/status.h"
#include "lib/connect/connect.h"
#include "tests/testing/descriptors.h"
#include "tests/testing/server_fixture.h"
#include "tests/testing/sockets.h"

namespace portreeve::testing {
namespace {

class UnixTest : public UnixServerTest {
 protected:
  static bool Exists(const std::string& path) {
    struct stat status;
    return lstat(path.c_str(), &status) == 0;
  }

  // Leaves a socket's file as a process that was killed leaves it.
  static void LeaveDeadSocket(const std::string& path) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const Unix::Address address(path);
    ASSERT_EQ(bind(fd, address.data(), static_cast<socklen_t>(address.size())),
              0);
    ASSERT_EQ(listen(fd, 1), 0);
    close(fd);
  }

  // Creates a server on `socket`, and closes it.
  Unix::Address CreateAndClose(const WhereToListen<Unix>& where,
                               Descriptor socket, bool shut_down = false) {
    ServerOptions options;
    options.shut_down_given_socket = shut_down;
    auto server = Server<Unix>::Create(executor(), where, RaiseHandlerError(),
                                       Steered(), options, std::move(socket));
    EXPECT_TRUE(server.ok()) << server.status();
    if (!server.ok()) return Unix::Address();
    const Unix::Address address = (*server)->listening_on_address();
    EXPECT_TRUE(Exists(address.path()));
    RunUntil((*server)->Close());
    Adopt(*std::move(server));
    return address;
  }
};

TEST_F(UnixTest, I1_CreateConnectClose) {
  const WhereToListen<Unix> where = Where();
  Server<Unix>& server = CreateAt(where, Steered());
  EXPECT_EQ(server.listening_on(), where.path);
  EXPECT_TRUE(Exists(where.path));
  RawClient client = ConnectedClient(server);
  Call& call = WaitForCall(0);
  EXPECT_EQ(call.address.path(), "");  // An unnamed client.
  call.writer->Write("hi");
  EXPECT_EQ(client.Receive(), "hi");
  RunUntil(server.Close());
  // The original leaves the file behind.
  EXPECT_FALSE(Exists(where.path));
  EXPECT_EQ(server.listening_on(), where.path);
  EXPECT_TRUE(TryCreate(where).ok());
}

TEST_F(UnixTest, S12_ARelativePathIsRemovedWhereverOneIsByThen) {
  ASSERT_EQ(chdir(folder().path().c_str()), 0);
  Server<Unix>& server =
      CreateAt(WhereToListen<Unix>::OfFile("relative"), Steered());
  EXPECT_EQ(server.listening_on(), "relative");
  EXPECT_TRUE(Exists(folder().File("relative")));
  ASSERT_EQ(chdir("/"), 0);
  RunUntil(server.Close());
  EXPECT_FALSE(Exists(folder().File("relative")));
}

// On a loop of its own, which takes descriptors for the first server.
TEST_F(UnixTest, S12_AServerThatCannotBeCreatedLeavesNoFile) {
  const WhereToListen<Unix> where =
      WhereToListen<Unix>::OfFile(folder().File("few"));
  for (const bool is_given : {false, true}) {
    SCOPED_TRACE(is_given);
    bool succeeds = false;
    for (int left = 0; !succeeds; ++left) {
      SCOPED_TRACE(left);
      ASSERT_LT(left, 20);
      asio::io_context loop{1};
      std::optional<Descriptor> socket;
      if (is_given) socket = NewSocket(AF_UNIX);
      const FewDescriptors few(left);
      auto server =
          Server<Unix>::Create(loop.get_executor(), where, RaiseHandlerError(),
                               Steered(), ServerOptions(), std::move(socket));
      succeeds = server.ok();
      EXPECT_EQ(Exists(where.path), succeeds);
      if (!succeeds) continue;
      TaskScope scope{Executor(loop.get_executor())};
      scope.Spawn((*server)->TearDown());
      loop.run();
    }
  }
}

TEST_F(UnixTest, I1_ADeadServersFileIsTakenOver) {
  const WhereToListen<Unix> where = Where();
  LeaveDeadSocket(where.path);
  // In the original: Address already in use.
  Server<Unix>& server = CreateAt(where, Steered());
  RawClient client = ConnectedClient(server);
  WaitForCall(0);
}

TEST_F(UnixTest, I1_ALiveServersFileIsNot) {
  const WhereToListen<Unix> where = Where();
  Server<Unix>& server = CreateAt(where, Steered());
  const absl::Status status = TryCreate(where);
  EXPECT_EQ(DetailOf(status).reason, Reason::kAddressInUse);
  EXPECT_EQ(DetailOf(status).address, "unix:" + where.path);
  RawClient client = ConnectedClient(server);
  WaitForCall(0);
}

TEST_F(UnixTest, S12_AFullBacklogIsALiveServer) {
  const WhereToListen<Unix> where = Where();
  ServerOptions options;
  options.max_pending_connections = 0;
  options.max_connections = 1;
  Server<Unix>& server = CreateAt(where, Steered(), options);
  RawClient c1 = ConnectedClient(server);
  WaitForCall(0);
  TakeLog();
  RawClient c2 = ConnectedClient(server);
  EXPECT_EQ(DetailOf(TryCreate(where)).reason, Reason::kAddressInUse);
  EXPECT_TRUE(Exists(where.path));
}

TEST_F(UnixTest, S12_AFileThatIsNoSocketIsNeverTouched) {
  const WhereToListen<Unix> where = Where();
  std::ofstream(where.path) << "precious";
  const absl::Status status = TryCreate(where);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(DetailOf(status).reason, Reason::kNotASocket);
  std::string content;
  std::ifstream(where.path) >> content;
  EXPECT_EQ(content, "precious");

  // Neither is what a symbolic link leads to.
  const WhereToListen<Unix> link = Where();
  ASSERT_EQ(symlink(where.path.c_str(), link.path.c_str()), 0);
  EXPECT_EQ(DetailOf(TryCreate(link)).reason, Reason::kNotASocket);
  EXPECT_TRUE(Exists(link.path));
}

TEST_F(UnixTest, S12_AFileThatIsNoLongerOursIsLeft) {
  const WhereToListen<Unix> where = Where();
  Server<Unix>& server = CreateAt(where, Steered());
  unlink(where.path.c_str());
  LeaveDeadSocket(where.path);
  RunUntil(server.Close());
  EXPECT_TRUE(Exists(where.path));
}

TEST_F(UnixTest, S12_ModeIsInForce) {
  WhereToListen<Unix> where = Where();
  const auto mode_of = [](const std::string& path) {
    struct stat status;
    return stat(path.c_str(), &status) == 0 ? status.st_mode & 0777 : 01000;
  };
  // The umask takes nothing away, and leaves nothing open.
  const mode_t old_mask = umask(0);
  CreateAt(where, Steered());
  EXPECT_EQ(mode_of(where.path), 0660u);
  umask(0777);
  where = Where();
  where.mode = 0601;
  CreateAt(where, Steered());
  EXPECT_EQ(mode_of(where.path), 0601u);
  umask(old_mask);
}

// Whoever has made it, such as systemd, keeps it with its socket.
TEST_F(UnixTest, S12_TheFileOfASocketThatIsGivenStays) {
  for (const bool shut_down : {false, true}) {
    const std::string path = Where().path;
    for (const bool listens : {false, true}) {
      const Unix::Address address(path + (listens ? "l" : "b"));
      EXPECT_EQ(CreateAndClose(WhereToListen<Unix>(),
                               listens ? ListeningSocketAt(address, 1)
                                       : BoundSocket(address),
                               shut_down),
                address);
      EXPECT_TRUE(Exists(address.path()));
    }
  }
}

TEST_F(UnixTest, S12_TheFileThatIsMadeForOneThatIsGivenIsOurs) {
  WhereToListen<Unix> where = Where();
  LeaveDeadSocket(where.path);
  EXPECT_EQ(CreateAndClose(where, NewSocket(AF_UNIX)).path(), where.path);
  EXPECT_FALSE(Exists(where.path));
}

TEST_F(UnixTest, S2_ASocketThatIsGivenMayHaveAnAbstractName) {
  const std::string name =
      std::string(1, '\0') + "portreeve-given-" + std::to_string(getpid());
  for (const bool is_bound : {false, true}) {
    auto server = Server<Unix>::Create(
        executor(),
        is_bound ? WhereToListen<Unix>() : WhereToListen<Unix>::OfFile(name),
        RaiseHandlerError(), Steered(), ServerOptions(),
        is_bound ? BoundSocket(Unix::Address(name)) : NewSocket(AF_UNIX));
    ASSERT_TRUE(server.ok()) << server.status();
    EXPECT_EQ((*server)->listening_on(), name);
    RawClient client = ConnectedClient(**server);
    WaitForCall(is_bound);
    RunUntil((*server)->Close());
    Adopt(*std::move(server));
  }
}

TEST_F(UnixTest, S2_ASocketThatIsGivenWithoutAnAddressIsLeft) {
  const Descriptor fd = NewSocket(AF_UNIX);
  const absl::Status error = TryCreate(WhereToListen<Unix>(), CopyOf(fd));
  EXPECT_EQ(DetailOf(error).field, "path");
  EXPECT_FALSE(IsNonBlocking(fd));
}

// A probe must not take a socket that is bound, and about to listen, for a dead
// one.
TEST_F(UnixTest, S12_OfManyThatTakeOverOneGetsIt) {
  const WhereToListen<Unix> where = Where();
  for (int round = 0; round < 20; ++round) {
    LeaveDeadSocket(where.path);
    constexpr int kProcesses = 4;
    int ready[2];
    int results[2];
    int finish[2];
    ASSERT_EQ(pipe(ready) | pipe(results) | pipe(finish), 0);
    std::vector<pid_t> children;
    for (int i = 0; i < kProcesses; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        char byte;
        (void)!read(ready[0], &byte, 1);
        asio::io_context own_loop(1);
        auto socket =
            ListeningSocket::Open(Executor(own_loop.get_executor()), where, 5);
        byte = socket.ok() ? 'y' : 'n';
        (void)!write(results[1], &byte, 1);
        (void)!read(finish[0], &byte, 1);
        _exit(0);
      }
      children.push_back(child);
    }
    (void)!write(ready[1], "gggg", kProcesses);
    int winners = 0;
    for (int i = 0; i < kProcesses; ++i) {
      char byte = 0;
      ASSERT_EQ(read(results[0], &byte, 1), 1);
      if (byte == 'y') ++winners;
    }
    EXPECT_EQ(winners, 1);
    RawClient client = NewClient();
    EXPECT_EQ(client.Connect(Unix::Address(where.path)), "ok");
    (void)!write(finish[1], "gggg", kProcesses);
    for (const pid_t child : children) waitpid(child, nullptr, 0);
    for (const int fd :
         {ready[0], ready[1], results[0], results[1], finish[0], finish[1]}) {
      close(fd);
    }
    unlink(where.path.c_str());
  }
}

TEST_F(UnixTest, I2_BadPaths) {
  const auto reason_of = [&](const std::string& path) {
    return DetailOf(TryCreate(WhereToListen<Unix>::OfFile(path)));
  };
  EXPECT_EQ(reason_of(folder().File("no/such/x")).error_number, ENOENT);
  EXPECT_EQ(reason_of(folder().File("no/such/x")).reason, Reason::kNoSuchPath);
  EXPECT_EQ(reason_of(std::string(200, 'a')).field, "path");
  // In the original an empty path makes an abstract socket.
  EXPECT_EQ(reason_of("").field, "path");
  WhereToListen<Unix> where = Where();
  where.mode = 01000;
  EXPECT_EQ(DetailOf(TryCreate(where)).field, "mode");
}

TEST_F(UnixTest, AnAbstractNameIsListenedOnWithoutAFile) {
  const std::string name =
      std::string(1, '\0') + "portreeve-test-" + std::to_string(getpid());
  const auto where = WhereToListen<Unix>::OfFile(name);
  Server<Unix>& server = CreateAt(where, Steered());
  EXPECT_EQ(server.listening_on(), name);
  RawClient client = ConnectedClient(server);
  WaitForCall(0).writer->Write("hi");
  EXPECT_EQ(client.Receive(), "hi");
  const absl::Status second = TryCreate(where);
  EXPECT_EQ(DetailOf(second).reason, Reason::kAddressInUse);
  EXPECT_EQ(DetailOf(second).address, "unix:@" + name.substr(1));
  RunUntil(server.Close());
  // The name is free with its socket; no dead file can be in its way.
  EXPECT_TRUE(TryCreate(where).ok());
}

TEST_F(UnixTest, I3_FullBacklog) {
  ServerOptions options;
  options.max_pending_connections = 0;
  options.max_connections = 1;
  Server<Unix>& server = Create(Steered(), options);
  RawClient c1 = ConnectedClient(server);
  WaitForCall(0);
  EXPECT_EQ(TakeLog().size(), 1u);
  RawClient c2 = ConnectedClient(server);
  std::string text;
  auto connect = [&]() -> Task<> {
    const auto where = WhereToConnect<Unix>::OfFile(server.listening_on());
    const ConnectOptions connect_options;
    try {
      co_await ConnectSock<Unix>(where, connect_options);
    } catch (const StatusError& error) {
      text = error.what();
    }
  };
  Start(connect());
  Settle();
  time().Advance(std::chrono::seconds(1));
  Settle();
  EXPECT_EQ(text, "");  // In the original it has failed.
  RunUntil(server.Close());
  EXPECT_EQ(c2.Receive(), "ECONNRESET");
  time().Advance(std::chrono::milliseconds(100));
  Settle();
  EXPECT_NE(text.find("No such file or directory"), std::string::npos) << text;
}

}  // namespace
}  // namespace portreeve::testing
