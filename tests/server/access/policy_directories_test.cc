// Where a policy lets unix sockets be, in a file system with links.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "lib/base/descriptor.h"
#include "server/access/policy.h"
#include "server/api/convert.h"
#include "tests/server/policy_in_words.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::server {
namespace {

using ::portreeve::testing::ReadPolicy;
using ::portreeve::testing::Shown;
using ::portreeve::testing::TemporaryFolder;

constexpr char kNoPath[] = "OUTSIDE_POLICY unix_socket.path";

std::string ListenFile(const Policy& policy, const std::string& path) {
  v1::WhereToListen where;
  where.mutable_unix_socket()->set_path(path);
  return Shown(policy.CheckListen(*FromProto(where)));
}

std::string DialFile(const Policy& policy, const std::string& path) {
  v1::WhereToConnect where;
  where.mutable_unix_socket()->set_path(path);
  return Shown(policy.CheckConnect(*FromProto(where)));
}

// A folder with app/, app2/, app/below/ and outside/.
class PolicyDirectoriesTest : public ::testing::Test {
 protected:
  PolicyDirectoriesTest() {
    for (const char* name : {"app", "app2", "app/below", "outside"}) {
      EXPECT_EQ(mkdir(In(name).c_str(), 0700), 0);
    }
  }
  std::string In(const std::string& name) const { return folder_.File(name); }
  void Link(const std::string& target, const std::string& name) {
    EXPECT_EQ(symlink(target.c_str(), In(name).c_str()), 0);
  }
  void MakeFile(const std::string& name) {
    const Descriptor file(creat(In(name).c_str(), 0600));
    EXPECT_TRUE(file.is_open());
  }
  Policy Only(const std::string& directory) {
    return ReadPolicy("unix_directories: '" + directory + "'");
  }
  // Of listening and of connecting, by paths in the folder.
  void Expect(const Policy& policy, const std::string& name,
              const std::string& expected) {
    EXPECT_EQ(ListenFile(policy, In(name)), expected) << name;
    EXPECT_EQ(DialFile(policy, In(name)), expected) << name;
  }

 private:
  const TemporaryFolder folder_;
};

TEST_F(PolicyDirectoriesTest, DirectoriesAtTheirEdges) {
  for (const char* slashes : {"", "/", "/."}) {
    const Policy policy = Only(In("app") + slashes);
    for (const char* name :
         {"app/s", "app/below/s", "app//s", "app/./s", "app/below/../s",
          "app2/../app/s", "app/..s", "app/none/s"}) {
      Expect(policy, name, "OK");
    }
    for (const char* name : {"app", "app/", "app/.", "app/..", "app2/s", "app2",
                             "s", "ap/s", "app/../s", "app/../app2/s",
                             "app/below/../../s", "app/none/../../s"}) {
      Expect(policy, name, kNoPath);
    }
    EXPECT_EQ(ListenFile(policy, "s"), kNoPath);
    EXPECT_EQ(DialFile(policy, "s"), kNoPath);
  }
}

TEST_F(PolicyDirectoriesTest, AnAbstractNameIsInNoDirectory) {
  const std::string name = std::string(1, '\0') + In("app/s");
  const Policy policy = Only(In("app"));
  EXPECT_EQ(ListenFile(policy, name), kNoPath);
  EXPECT_EQ(DialFile(policy, name), kNoPath);
  EXPECT_EQ(ListenFile(Only("/"), name), kNoPath);
  EXPECT_EQ(DialFile(Only("/"), name), kNoPath);
  EXPECT_EQ(DialFile(ReadPolicy("dial { allow {} }"), name), kNoPath);
  EXPECT_EQ(
      DialFile(ReadPolicy("dial { allow { unix_directories: '/' } }"), name),
      kNoPath);
  // Without directories every name is allowed.
  EXPECT_EQ(ListenFile(Policy(), name), "OK");
  EXPECT_EQ(DialFile(Policy(), name), "OK");
}

TEST_F(PolicyDirectoriesTest, EachOfSeveralDirectoriesCounts) {
  const Policy policy = ReadPolicy("unix_directories: ['" + In("app") + "', '" +
                                   In("outside") + "']");
  Expect(policy, "app/s", "OK");
  Expect(policy, "outside/s", "OK");
  Expect(policy, "app2/s", kNoPath);
  Expect(Only("/"), "app2/s", "OK");
}

TEST_F(PolicyDirectoriesTest, LinkedDirectoriesCountAsWhatTheyLeadTo) {
  Link(In("outside"), "app/out");
  Link("../outside", "app/relative");
  Link(In("app/below"), "outside/in");
  Link(In("app"), "alias");
  const Policy policy = Only(In("app"));
  Expect(policy, "app/out/s", kNoPath);
  Expect(policy, "app/relative/s", kNoPath);
  Expect(policy, "app/out/in/s", "OK");
  Expect(policy, "outside/in/s", "OK");
  Expect(policy, "outside/in/../s", "OK");  // app/s, as the kernel has it.
  Expect(policy, "alias/s", "OK");
  Expect(Only(In("alias")), "app/s", "OK");
  Expect(Only(In("alias")), "alias/below/s", "OK");
  Expect(Only(In("alias")), "s", kNoPath);
}

TEST_F(PolicyDirectoriesTest, ALinkedSocketCountsAsItselfOrAsItsTarget) {
  MakeFile("outside/s");
  MakeFile("app/s");
  Link(In("outside/s"), "app/out");
  Link(In("app/s"), "outside/in");
  const Policy policy = Only(In("app"));
  EXPECT_EQ(DialFile(policy, In("app/out")), kNoPath);
  EXPECT_EQ(DialFile(policy, In("outside/in")), "OK");
  // bind(2) does not follow them: it says that the address is in use.
  EXPECT_EQ(ListenFile(policy, In("app/out")), "OK");
  EXPECT_EQ(ListenFile(policy, In("outside/in")), kNoPath);
}

TEST_F(PolicyDirectoriesTest, DialAllowBoundsOnlyWhatIsConnectedTo) {
  const Policy policy =
      ReadPolicy("dial { allow { unix_directories: '" + In("app") + "' } }");
  EXPECT_EQ(DialFile(policy, In("app/below/s")), "OK");
  EXPECT_EQ(DialFile(policy, In("app/../app2/s")), kNoPath);
  EXPECT_EQ(ListenFile(policy, In("app2/s")), "OK");
}

TEST_F(PolicyDirectoriesTest, DialAllowWithoutDirectoriesAllowsNoSocket) {
  for (const char* allow : {"", "cidrs: '10.0.0.0/8'", "ports {first:1 last:2}",
                            "unix_directories: []"}) {
    const Policy policy =
        ReadPolicy(std::string("dial { allow { ") + allow + " } }");
    EXPECT_EQ(DialFile(policy, In("app/s")), kNoPath) << allow;
    EXPECT_EQ(ListenFile(policy, In("app/s")), "OK") << allow;
  }
  EXPECT_EQ(DialFile(ReadPolicy("dial { deny {} }"), In("app/s")), "OK");
}

TEST_F(PolicyDirectoriesTest, BothListsOfDirectoriesBoundWhatIsConnectedTo) {
  const Policy policy =
      ReadPolicy("unix_directories: ['" + In("app") + "', '" + In("app2") +
                 "'] dial { allow { unix_directories: ['" + In("app/below") +
                 "', '" + In("outside") + "'] } }");
  EXPECT_EQ(DialFile(policy, In("app/below/s")), "OK");
  for (const char* name : {"app/s", "app2/s", "outside/s", "s"}) {
    EXPECT_EQ(DialFile(policy, In(name)), kNoPath) << name;
  }
  EXPECT_EQ(ListenFile(policy, In("app/s")), "OK");
  EXPECT_EQ(ListenFile(policy, In("outside/s")), kNoPath);
}

TEST_F(PolicyDirectoriesTest, LinksThatLeadNowhereAreRefused) {
  Link(In("outside/none"), "app/dangling");
  Link("loop", "app/loop");
  const Policy policy = Only(In("app"));
  EXPECT_EQ(DialFile(policy, In("app/dangling")), kNoPath);
  EXPECT_EQ(DialFile(policy, In("app/loop")), kNoPath);
  Expect(policy, "app/dangling/s", kNoPath);
  Expect(policy, "app/loop/s", kNoPath);
}

TEST_F(PolicyDirectoriesTest, RelativePathsCountFromTheWorkingDirectory) {
  char* const before = getcwd(nullptr, 0);
  ASSERT_EQ(chdir(In("app/below").c_str()), 0);
  const Policy policy = Only(In("app"));
  for (const char* path : {"s", "./s", "../s"}) {
    EXPECT_EQ(ListenFile(policy, path), "OK") << path;
    EXPECT_EQ(DialFile(policy, path), "OK") << path;
  }
  for (const char* path : {"../../s", "../../outside/s", "../../app"}) {
    EXPECT_EQ(ListenFile(policy, path), kNoPath) << path;
    EXPECT_EQ(DialFile(policy, path), kNoPath) << path;
  }
  EXPECT_EQ(chdir(before), 0);
  free(before);
}

TEST(PolicyWithoutDirectoriesTest, EverySocketIsAllowed) {
  EXPECT_EQ(ListenFile(Policy(), "/nowhere/s"), "OK");
  EXPECT_EQ(DialFile(Policy(), "/nowhere/s"), "OK");
}

}  // namespace
}  // namespace portreeve::server
