// The policy of the moment, and the file that it lets a connection go to.
#include "server/access/live_policy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "lib/connect/connect_attempt.h"
#include "tests/server/policy_in_words.h"
#include "tests/testing/server_fixture.h"
#include "tests/testing/unix_listener.h"

namespace portreeve::server {
namespace {

using ::portreeve::testing::ReadPolicy;
using ::portreeve::testing::Shown;
using ::portreeve::testing::TemporaryFolder;
using ::portreeve::testing::UnixListener;

AnyWhereToConnect To(const std::string& host, int port) {
  return WhereToConnect<Inet>::OfHostAndPort(host, port);
}
AnyWhereToConnect ToFile(const std::string& path) {
  return WhereToConnect<Unix>::OfFile(path);
}

constexpr char kDenyAll[] = "dial { deny { cidrs: ['0.0.0.0/0', '::/0'] } }";
const Inet::Address kSomewhere(asio::ip::make_address("192.0.2.1"), 80);

TEST(LivePolicyTest, EveryCopyAsksTheNewOne) {
  LivePolicy policy;
  const LivePolicy copy = policy;
  EXPECT_TRUE(copy.CheckAddress(kSomewhere).ok());
  policy.Replace(ReadPolicy(kDenyAll));
  EXPECT_EQ(Shown(copy.CheckAddress(kSomewhere)), "OUTSIDE_POLICY");
  EXPECT_EQ(Shown(copy.CheckConnect(To("192.0.2.1", 80))),
            "OUTSIDE_POLICY inet.host");
  policy.Replace(ReadPolicy("identities { name: 'a' role: ROLE_ADMIN }"));
  EXPECT_TRUE(copy.CheckAddress(kSomewhere).ok());
  EXPECT_TRUE(copy.Now().has_identities());
}

TEST(LivePolicyTest, IsAskedWhileItIsReplaced) {
  LivePolicy policy;
  std::atomic<bool> stop = false;
  std::thread replaces([&] {
    while (!stop) {
      policy.Replace(ReadPolicy(kDenyAll));
      policy.Replace(Policy());
    }
  });
  for (int i = 0; i < 1000; ++i) {
    const std::string shown = Shown(policy.CheckAddress(kSomewhere));
    EXPECT_TRUE(shown == "OK" || shown == "OUTSIDE_POLICY") << shown;
  }
  stop = true;
  replaces.join();
}

TEST(LivePolicyTest, AbstractNamesAreCheckedWithoutAFile) {
  const std::string nul(1, '\0');
  const std::string own_name = nul + "own";
  const std::string other = nul + "other";
  LivePolicy policy;
  OwnAddresses own;
  ASSERT_TRUE(own.Add(Unix::Address(own_name)).ok());
  policy.SetOwnAddresses(own);
  EXPECT_EQ(Shown(policy.CheckConnect(ToFile(own_name))),
            "SELF_CONNECT unix_socket.path");
  EXPECT_EQ(Shown(policy.OpenSocket(Unix::Address(own_name)).status()),
            "SELF_CONNECT");
  EXPECT_TRUE(policy.CheckConnect(ToFile(other)).ok());
  const auto file = policy.OpenSocket(Unix::Address(other));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_FALSE(file->is_open());
  policy.Replace(ReadPolicy("unix_directories: '/'"));
  EXPECT_EQ(Shown(policy.OpenSocket(Unix::Address(other)).status()),
            "OUTSIDE_POLICY unix_socket.path");
  EXPECT_EQ(Shown(policy.OpenSocket(Unix::Address(own_name)).status()),
            "SELF_CONNECT");
}

TEST(LivePolicyTest, OwnAddressesHoldWhateverThePolicySays) {
  LivePolicy policy(ReadPolicy("dial { deny {} }"));
  OwnAddresses own;
  const Inet::Address control(asio::ip::make_address("127.0.0.1"), 7000);
  ASSERT_TRUE(own.Add(control).ok());
  policy.SetOwnAddresses(own);
  for (const char* text : {"dial { deny {} }", "", kDenyAll}) {
    policy.Replace(ReadPolicy(text));
    EXPECT_EQ(Shown(policy.CheckAddress(control)), "SELF_CONNECT") << text;
    for (const char* host : {"127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1"}) {
      EXPECT_EQ(Shown(policy.CheckConnect(To(host, 7000))),
                "SELF_CONNECT inet.host")
          << text << " " << host;
    }
    // Its addresses are asked for when they are known.
    EXPECT_EQ(Shown(policy.CheckConnect(To("localhost", 7000))), "OK");
  }
}

// A folder with app/ and outside/, each with a socket of its own, and control.
class OpenSocketTest : public ::testing::Test {
 protected:
  OpenSocketTest() {
    EXPECT_EQ(mkdir(In("app").c_str(), 0700), 0);
    EXPECT_EQ(mkdir(In("outside").c_str(), 0700), 0);
    app_ = std::make_unique<UnixListener>(In("app/s"));
    outside_ = std::make_unique<UnixListener>(In("outside/s"));
    control_ = std::make_unique<UnixListener>(In("control"));
  }

  std::string In(const std::string& name) const { return folder_.File(name); }
  void Link(const std::string& target, const std::string& name) {
    EXPECT_EQ(symlink(target.c_str(), In(name).c_str()), 0);
  }
  void Rename(const std::string& from, const std::string& to) {
    EXPECT_EQ(rename(In(from).c_str(), In(to).c_str()), 0);
  }
  LivePolicy OnlyApp() const {
    return ReadPolicy("dial { allow { unix_directories: '" + In("app") +
                      "' } }");
  }
  LivePolicy OwnIsControl(LivePolicy policy = LivePolicy()) const {
    OwnAddresses own;
    EXPECT_TRUE(own.Add(Unix::Address(In("control"))).ok());
    policy.SetOwnAddresses(own);
    return policy;
  }
  // "by path", "by file", or as Shown().
  std::string Opened(const LivePolicy& policy, const std::string& name) {
    const auto file = policy.OpenSocket(Unix::Address(In(name)));
    if (!file.ok()) return Shown(file.status());
    return file->is_open() ? "by file" : "by path";
  }

  const TemporaryFolder folder_;
  std::unique_ptr<UnixListener> app_, outside_, control_;
};

TEST_F(OpenSocketTest, NothingIsOpenedWhereEveryFileIsAllowed) {
  EXPECT_EQ(Opened(LivePolicy(), "app/s"), "by path");
  EXPECT_EQ(Opened(LivePolicy(), "none"), "by path");
  EXPECT_EQ(Opened(ReadPolicy("dial { deny {} }"), "app/s"), "by path");
}

TEST_F(OpenSocketTest, OwnFilesAreRefusedByEveryName) {
  Link(In("control"), "app/link");
  Link(In("app"), "alias");
  ASSERT_EQ(link(In("control").c_str(), In("app/twin").c_str()), 0);
  for (const LivePolicy& policy : {OwnIsControl(), OwnIsControl(OnlyApp())}) {
    for (const char* name : {"control", "app/link", "app/twin", "alias/link",
                             "alias/../control"}) {
      EXPECT_EQ(Opened(policy, name), "SELF_CONNECT") << name;
    }
    for (const char* name : {"control", "app/link", "app/twin"}) {
      EXPECT_EQ(Shown(policy.CheckConnect(ToFile(In(name)))),
                "SELF_CONNECT unix_socket.path")
          << name;
    }
    EXPECT_EQ(Opened(policy, "app/s"), "by file");
  }
}

TEST_F(OpenSocketTest, OutsideTheDirectoriesNothingIsOpened) {
  Link(In("outside"), "app/out");
  Link(In("outside/s"), "app/link");
  Link(In("app/s"), "outside/in");
  const LivePolicy policy = OnlyApp();
  EXPECT_EQ(Opened(policy, "app/s"), "by file");
  EXPECT_EQ(Opened(policy, "outside/in"), "by file");
  for (const char* name : {"outside/s", "app/out/s", "app/link", "app/../s"}) {
    EXPECT_EQ(Opened(policy, name), "OUTSIDE_POLICY unix_socket.path") << name;
  }
}

TEST_F(OpenSocketTest, WhatWasCheckedIsConnectedTo) {
  for (const LivePolicy& policy : {OwnIsControl(), OnlyApp()}) {
    const auto file = policy.OpenSocket(Unix::Address(In("app/s")));
    ASSERT_TRUE(file.ok()) << file.status();
    // Another is there before the connect.
    Rename("app/s", "app/before");
    Link(In("control"), "app/s");
    const auto connected = OpenAndConnect(Unix::Address(In("app/s")), *file);
    EXPECT_TRUE(connected.ok()) << connected.status();
    EXPECT_TRUE(app_->TakeClient());
    EXPECT_FALSE(control_->TakeClient());
    Rename("app/before", "app/s");
  }
}

// Who may write in a directory swaps a directory for a link, again and again.
TEST_F(OpenSocketTest, NoSwapLeadsOutside) {
  ASSERT_EQ(mkdir(In("app/d").c_str(), 0700), 0);
  const UnixListener inside(In("app/d/s"));
  Link(In("outside"), "app/to");
  const LivePolicy policy = OnlyApp();
  std::atomic<bool> stop = false;
  std::thread swaps([&] {
    while (!stop) {
      (void)renameat2(AT_FDCWD, In("app/d").c_str(), AT_FDCWD,
                      In("app/to").c_str(), RENAME_EXCHANGE);
    }
  });
  int reached = 0;
  for (int i = 0; i < 3000; ++i) {
    const Unix::Address address(In("app/d/s"));
    const auto file = policy.OpenSocket(address);
    if (!file.ok()) continue;
    reached += OpenAndConnect(address, *file).ok() && inside.TakeClient();
    EXPECT_FALSE(outside_->TakeClient());
  }
  stop = true;
  swaps.join();
  EXPECT_GT(reached, 0);
}

TEST_F(OpenSocketTest, SaysWhatConnectWould) {
  Link("loop", "app/loop");
  const Descriptor plain(creat(In("app/plain").c_str(), 0600));
  for (const LivePolicy& policy : {OwnIsControl(), OnlyApp()}) {
    for (const char* name : {"app/none", "app/plain", "app/s/none"}) {
      const auto file = policy.OpenSocket(Unix::Address(In(name)));
      const auto by_path =
          OpenAndConnect(Unix::Address(In(name)), Descriptor());
      EXPECT_EQ(file.status(), by_path.status());
    }
  }
  EXPECT_EQ(Opened(OwnIsControl(), "app/loop"), "CONNECT_REFUSED");
  EXPECT_EQ(Opened(OnlyApp(), "app/loop"), "OUTSIDE_POLICY unix_socket.path");
}

TEST_F(OpenSocketTest, WithoutADescriptorItIsTheLimit) {
  const LivePolicy policy = OwnIsControl();
  const Unix::Address address(In("app/s"));
  const rlimit none{0, 1024};
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low{none.rlim_cur, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const auto file = policy.OpenSocket(address);
  const auto by_path = OpenAndConnect(address, Descriptor());
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(Shown(file.status()), "FD_LIMIT");
  EXPECT_EQ(file.status(), by_path.status());
}

}  // namespace
}  // namespace portreeve::server
