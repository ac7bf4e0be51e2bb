// Which daemon the CLI commands where no flag says.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "client/cli/global_options.h"

namespace portreeve::cli {
namespace {

// A path under which there may be something.
class DefaultServerTest : public ::testing::Test {
 protected:
  DefaultServerTest() {
    std::string folder = "/tmp/portreeve-test-XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    environment_.control_socket = Path("control");
  }
  ~DefaultServerTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const {
    return folder_ + "/" + name;
  }
  void MakeSocket(const std::string& name) const {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, Path(name).c_str(),
                 sizeof address.sun_path - 1);
    EXPECT_EQ(
        bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address),
        0);
    close(fd);
  }
  // The address, or what is wrong.
  std::string Server() const {
    GlobalOptions options;
    const absl::Status status = Complete(environment_, options);
    return status.ok() ? options.server->text : std::string(status.message());
  }

  Environment environment_;
  std::string folder_;
};

constexpr char kTcp[] = "tcp:127.0.0.1:50051";

TEST_F(DefaultServerTest, IsTheSocketWhereThereIsOne) {
  EXPECT_EQ(Server(), kTcp);
  MakeSocket("control");
  EXPECT_EQ(Server(), "unix:" + Path("control"));
}

TEST_F(DefaultServerTest, IsTheSocketToWhichALinkLeads) {
  ASSERT_EQ(symlink("elsewhere", Path("control").c_str()), 0);
  EXPECT_EQ(Server(), kTcp);
  MakeSocket("elsewhere");
  EXPECT_EQ(Server(), "unix:" + Path("control"));
}

TEST_F(DefaultServerTest, IsNoFileOfAnotherKind) {
  ASSERT_EQ(mkdir(Path("control").c_str(), 0700), 0);
  EXPECT_EQ(Server(), kTcp);
  ASSERT_EQ(rmdir(Path("control").c_str()), 0);
  close(creat(Path("control").c_str(), 0600));
  EXPECT_EQ(Server(), kTcp);
  environment_.control_socket = Path("control/below");
  EXPECT_EQ(Server(), kTcp);
}

TEST_F(DefaultServerTest, TheVariableComesFirst) {
  MakeSocket("control");
  environment_.server = "localhost:1";
  EXPECT_EQ(Server(), "tcp:localhost:1");
  environment_.server = "nowhere";
  EXPECT_EQ(Server().rfind("PORTREEVE_SERVER: 'nowhere'", 0), 0u);
}

TEST_F(DefaultServerTest, TheFlagComesBeforeAll) {
  MakeSocket("control");
  environment_.server = "localhost:1";
  GlobalOptions options;
  options.server = client::ParseServerAddress("localhost:2", "/").value();
  ASSERT_TRUE(Complete(environment_, options).ok());
  EXPECT_EQ(options.server->text, "tcp:localhost:2");
}

// A unix socket speaks none.
TEST_F(DefaultServerTest, WithTlsItIsNoSocket) {
  MakeSocket("control");
  environment_.tls.ca = "/ca.pem";
  EXPECT_EQ(Server(), kTcp);
}

TEST_F(DefaultServerTest, WithoutAPathNoneIsLookedFor) {
  MakeSocket("control");
  environment_.control_socket = "";
  EXPECT_EQ(Server(), kTcp);
}

}  // namespace
}  // namespace portreeve::cli
