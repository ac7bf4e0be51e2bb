// Who may call what of those who come by a unix socket, as real users.
#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/loop.h"
#include "portreeve/v1/listener.grpc.pb.h"
#include "server/access/gate.h"
#include "server/calls/unary.h"
#include "server/daemon/control_plane.h"
#include "tests/server/policy_in_words.h"
#include "tests/testing/audit_lines.h"
#include "tests/testing/connect_as.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::server {
namespace {

using ::portreeve::testing::AuditLines;
using ::portreeve::testing::ConnectAs;
using ::portreeve::testing::ReadPolicy;
using ::portreeve::testing::TemporaryFolder;
using ::portreeve::testing::UnixUser;

// Asks the gate about the method that the request names.
class GateService final : public v1::ListenerService::CallbackService {
 public:
  explicit GateService(Gate& gate) : gate_(gate) {}

  grpc::ServerUnaryReactor* GetListener(grpc::CallbackServerContext* context,
                                        const v1::GetListenerRequest* request,
                                        v1::Listener* response) override {
    const auto caller = gate_.Admit(*context, request->name());
    if (caller.ok()) response->set_name(caller->identity);
    return Answer(context, caller.status());
  }

 private:
  Gate& gate_;
};

// No account of the machine has these numbers.
const UnixUser kAnn{59'001, 59'001, {59'100}};
const UnixUser kBob{59'002, 59'100, {}};
const UnixUser kEve{59'003, 59'003, {59'003, 59'200}};
const UnixUser kRoot{0, 0, {}};

class UnixGateTest : public ::testing::Test {
 protected:
  using Stub = v1::ListenerService::Stub;

  UnixGateTest() {
    ControlPlane::Options options;
    options.places.push_back({Unix::Address(path_), 0666});
    options.places.push_back(
        {Inet::Address(asio::ip::make_address("127.0.0.1"), 0)});
    options.accounted = [] { return int64_t{0}; };
    options.on_bound = [](const auto&) { return absl::OkStatus(); };
    auto plane = ControlPlane::Start(loop_, {&service_}, options);
    EXPECT_TRUE(plane.ok()) << plane.status();
    if (plane.ok()) plane_ = *std::move(plane);
    EXPECT_EQ(chmod(folder_.path().c_str(), 0755), 0);
  }

  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  }

  std::unique_ptr<Stub> StubOf(const UnixUser& user) {
    Descriptor fd = ConnectAs(user, path_);
    EXPECT_TRUE(fd.is_open());
    EXPECT_EQ(fcntl(fd.get(), F_SETFL, O_NONBLOCK), 0);
    return v1::ListenerService::NewStub(
        grpc::CreateInsecureChannelFromFd("test", fd.Release()));
  }

  static std::string Call(Stub& stub, const std::string& method) {
    grpc::ClientContext context;
    v1::GetListenerRequest request;
    request.set_name(method);
    v1::Listener response;
    const auto status = stub.GetListener(&context, request, &response);
    return status.ok() ? response.name() : status.error_message();
  }
  // What that user may do, in a word.
  std::string RoleOf(const UnixUser& user) {
    const auto stub = StubOf(user);
    const std::string identity = "unix:uid=" + std::to_string(user.user);
    const std::string reads = Call(*stub, "GetListener");
    const std::string changes = Call(*stub, "CreateListener");
    if (changes == identity) return reads == identity ? "all" : reads;
    return reads == identity ? "reads" : "nothing";
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.File("control");
  LivePolicy policy_;
  AuditLines audit_;
  Loop loop_;
  Gate gate_{policy_, Gate::Certificates::kHaveTheRolesOfThePolicy,
             &audit_.log()};
  GateService service_{gate_};
  std::unique_ptr<ControlPlane> plane_;
};

TEST_F(UnixGateTest, WithoutUsersInThePolicyEveryUserIsAnAdmin) {
  for (const char* policy :
       {"", "identities { name: 'ann' role: ROLE_VIEWER }"}) {
    policy_.Replace(ReadPolicy(policy));
    for (const UnixUser& user : {kAnn, kBob, kEve, kRoot}) {
      EXPECT_EQ(RoleOf(user), "all") << policy << user.user;
    }
  }
}

TEST_F(UnixGateTest, AUserIsKnownByItsNumber) {
  policy_.Replace(ReadPolicy(R"(
    identities { name: "unix:59001" role: ROLE_VIEWER }
    identities { name: "unix:59002" role: ROLE_OPERATOR }
  )"));
  EXPECT_EQ(RoleOf(kAnn), "reads");
  EXPECT_EQ(RoleOf(kBob), "all");
  EXPECT_EQ(RoleOf(kEve), "nothing");
  EXPECT_EQ(RoleOf(kRoot), "all");
}

TEST_F(UnixGateTest, AGroupIsThePrimaryOneOrASupplementaryOne) {
  policy_.Replace(
      ReadPolicy("identities { name: 'unix:@59100' role: ROLE_VIEWER }"));
  EXPECT_EQ(RoleOf(kAnn), "reads");
  EXPECT_EQ(RoleOf(kBob), "reads");
  EXPECT_EQ(RoleOf(kEve), "nothing");
  EXPECT_EQ(RoleOf(kRoot), "all");
}

// More than are asked for at first.
TEST_F(UnixGateTest, AUserMayBeOfManyGroups) {
  policy_.Replace(
      ReadPolicy("identities { name: 'unix:@60000' role: ROLE_VIEWER }"));
  UnixUser user{59'001, 59'001, {}};
  for (gid_t group = 59'001; group < 60'000; ++group) {
    user.groups.push_back(group);
  }
  EXPECT_EQ(RoleOf(user), "nothing");
  user.groups.push_back(60'000);
  EXPECT_EQ(RoleOf(user), "reads");
}

TEST_F(UnixGateTest, RootIsAnAdminWhateverThePolicySays) {
  policy_.Replace(ReadPolicy(R"(
    identities { name: "unix:root" role: ROLE_VIEWER }
    identities { name: "unix:@0" role: ROLE_VIEWER }
  )"));
  EXPECT_EQ(RoleOf(kRoot), "all");
  EXPECT_EQ(RoleOf({0, 59'001, {}}), "all");
  EXPECT_EQ(RoleOf({59'001, 0, {}}), "reads");
  EXPECT_EQ(RoleOf({59'001, 59'001, {0}}), "reads");
  EXPECT_EQ(RoleOf(kEve), "nothing");
}

TEST_F(UnixGateTest, AnotherPolicyHoldsOnConnectionsThatAreOpen) {
  policy_.Replace(
      ReadPolicy("identities { name: 'unix:59001' role: ROLE_VIEWER }"));
  const auto ann = StubOf(kAnn);
  const auto bob = StubOf(kBob);
  EXPECT_EQ(Call(*ann, "GetListener"), "unix:uid=59001");
  EXPECT_EQ(Call(*bob, "GetListener"),
            "unix:uid=59002 has no role; GetListener needs the role viewer");
  policy_.Replace(
      ReadPolicy("identities { name: 'unix:@59100' role: ROLE_OPERATOR }"));
  EXPECT_EQ(Call(*ann, "CreateListener"), "unix:uid=59001");
  EXPECT_EQ(Call(*bob, "CreateListener"), "unix:uid=59002");
  policy_.Replace(Policy());
  EXPECT_EQ(Call(*StubOf(kEve), "CreateListener"), "unix:uid=59003");
}

TEST_F(UnixGateTest, ClientsOfTcpAreAdminsAllTheSame) {
  policy_.Replace(
      ReadPolicy("identities { name: 'unix:59001' role: ROLE_VIEWER }"));
  const auto tcp = std::get<Inet::Address>(plane_->addresses().at(1));
  const auto stub = v1::ListenerService::NewStub(
      grpc::CreateChannel("127.0.0.1:" + std::to_string(tcp.port()),
                          grpc::InsecureChannelCredentials()));
  EXPECT_EQ(Call(*stub, "CreateListener"), "ipv4:127.0.0.1");
}

TEST_F(UnixGateTest, RefusedChangesAreAudited) {
  policy_.Replace(
      ReadPolicy("identities { name: 'unix:59001' role: ROLE_VIEWER }"));
  const auto ann = StubOf(kAnn);
  EXPECT_EQ(Call(*ann, "DeleteListener"),
            "unix:uid=59001 has the role viewer; DeleteListener needs the "
            "role operator");
  ASSERT_EQ(audit_.lines().size(), 1u);
  const std::string line = audit_.lines()[0];
  EXPECT_NE(line.find("\"who\":\"unix:uid=59001\""), line.npos) << line;
  EXPECT_NE(line.find("\"result\":\"ROLE_REQUIRED\""), line.npos) << line;
}

}  // namespace
}  // namespace portreeve::server
