// Where the kernel has no openat2(2), or a container's filter refuses it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <cerrno>
#include <string>

#include "lib/base/status.h"
#include "server/access/live_policy.h"
#include "tests/testing/refused_call.h"
#include "tests/testing/server_fixture.h"
#include "tests/testing/unix_listener.h"

namespace portreeve::server {
namespace {

TEST(RefusedOpenat2Test, APolicyThatBoundsSocketsLetsNoneBeConnectedTo) {
  ASSERT_TRUE(testing::RefuseCall(SYS_openat2, ENOSYS));
  const testing::TemporaryFolder folder;
  const std::string path = folder.File("s");
  const testing::UnixListener listener(path);
  const auto policy = Policy::FromText(
      "dial { allow { unix_directories: '" + folder.path() + "' } }", "policy");
  ASSERT_TRUE(policy.ok());
  const LivePolicy bounded(*policy);
  const auto file = bounded.OpenSocket(Unix::Address(path));
  EXPECT_EQ(file.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(file.status().message(),
            "connect unix:" + path +
                ": a policy that bounds unix sockets takes openat2(2), which "
                "is in Linux since 5.6");
  EXPECT_EQ(DetailOf(file.status()).error_number, ENOSYS);

  LivePolicy unbounded;
  OwnAddresses own;
  ASSERT_TRUE(own.Add(Unix::Address(path)).ok());
  unbounded.SetOwnAddresses(own);
  EXPECT_EQ(DetailOf(unbounded.OpenSocket(Unix::Address(path)).status()).reason,
            Reason::kSelfConnect);
}

}  // namespace
}  // namespace portreeve::server
