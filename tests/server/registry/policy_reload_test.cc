// --policy is read again, under a registry that runs.
#include "server/registry/policy_reload.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/net/descriptor_budget.h"
#include "server/api/errors.h"
#include "server/api/listener_draft.h"
#include "server/events/event_log.h"
#include "tests/server/answered.h"
#include "tests/server/plain_socket.h"
#include "tests/testing/server_fixture.h"
#include "tests/testing/test_lanes.h"

namespace portreeve::server {
namespace {

using testing::PlainClient;
using testing::PlainListener;
using Lines = std::vector<std::string>;

class PolicyReloadTest : public ::testing::Test {
 protected:
  PolicyReloadTest() {
    loop_
        .Run([this] {
          lanes_.emplace(loop_.context());
          registry_ = std::make_unique<Registry>(
              loop_.executor(), lanes_->set(), events_, budget_, policy_);
        })
        .get();
    SetLogSink([this](const LogLine& line) {
      const std::lock_guard lock(mutex_);
      log_.push_back(testing::LoggedText(line));
    });
  }
  ~PolicyReloadTest() override {
    loop_.RunTask(registry_->TearDown()).get();
    loop_.Run([this] { registry_.reset(); }).get();
    SetLogSink(nullptr);
  }

  absl::Status Reload(const std::string& text) {
    std::ofstream(file_, std::ios::trunc) << text;
    return ReloadPolicy(file_, policy_, loop_, *registry_);
  }
  Lines TakeLog() {
    const std::lock_guard lock(mutex_);
    return std::exchange(log_, {});
  }
  std::string Said(const std::string& text) const {
    return "info: --policy: " + file_ + text;
  }
  std::string WrongAt(const std::string& text) const {
    return "error: --policy: " + file_ + text;
  }

  // Listens on 127.0.0.1; forwards to `upstream`, or is an echo if that is 0.
  absl::StatusOr<v1::Listener> Create(const std::string& id, int upstream = 0) {
    v1::CreateListenerRequest request;
    request.set_listener_id(id);
    auto& spec = *request.mutable_spec();
    spec.mutable_where_to_listen()->mutable_inet()->set_address("127.0.0.1");
    if (upstream == 0) {
      spec.mutable_handler()->mutable_echo();
    } else {
      auto* to = spec.mutable_handler()->mutable_forward()->mutable_upstream();
      to->mutable_inet()->set_host("127.0.0.1");
      to->mutable_inet()->set_port(upstream);
    }
    const auto draft = CheckCreate(request);
    EXPECT_TRUE(draft.ok()) << draft.status();
    return loop_.Run([&] { return CreateNow(*registry_, *draft); }).get();
  }
  std::string ReasonOfCreate(const std::string& id) {
    return ReasonOf(Create(id).status());
  }
  bool IsClosed(const std::string& id) {
    return *loop_.Run([&] { return registry_->IsClosed(id); }).get();
  }

  const testing::TemporaryFolder folder_;
  const std::string file_ = folder_.File("policy");
  LivePolicy policy_;
  Loop loop_;
  EventLog events_;
  DescriptorBudget budget_{1000};
  std::optional<testing::TestLanes> lanes_;
  std::unique_ptr<Registry> registry_;
  std::mutex mutex_;
  Lines log_;  // Guarded by `mutex_`.
};

constexpr char kElsewhere[] = "listen { cidrs: '10.0.0.0/8' }";

TEST_F(PolicyReloadTest, ANewOneHoldsForWhatFollowsAndNamesWhatIsOutside) {
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(Create("b").ok());
  EXPECT_TRUE(Reload(kElsewhere).ok());
  EXPECT_EQ(TakeLog(), (Lines{Said(" was read again"),
                              "warning: outside of the policy now, but open: "
                              "listeners/a, listeners/b"}));
  EXPECT_EQ(ReasonOfCreate("c"), "OUTSIDE_POLICY");
  EXPECT_FALSE(IsClosed("a"));
  EXPECT_TRUE(Reload("").ok());
  EXPECT_EQ(TakeLog(), (Lines{Said(" was read again")}));
  EXPECT_EQ(ReasonOfCreate("c"), "");
}

TEST_F(PolicyReloadTest, AWrongFileKeepsTheOneOfBefore) {
  ASSERT_TRUE(Reload(kElsewhere).ok());
  TakeLog();
  EXPECT_EQ(Reload("listen {\n cidrs: 'x' }").code(),
            absl::StatusCode::kInvalidArgument);
  const Lines log = TakeLog();
  ASSERT_EQ(log.size(), 1u);
  EXPECT_EQ(log[0].substr(0, WrongAt(":2:2: ").size()), WrongAt(":2:2: "));
  const std::string end = "; the policy that was read before stays in force";
  EXPECT_EQ(log[0].substr(log[0].size() - end.size()), end);
  EXPECT_EQ(ReasonOfCreate("a"), "OUTSIDE_POLICY");
  ASSERT_EQ(unlink(file_.c_str()), 0);
  EXPECT_FALSE(ReloadPolicy(file_, policy_, loop_, *registry_).ok());
  EXPECT_EQ(TakeLog().size(), 1u);
  EXPECT_EQ(ReasonOfCreate("a"), "OUTSIDE_POLICY");
}

TEST_F(PolicyReloadTest, WhatIsNoRegularFileIsNotReadAgain) {
  ASSERT_TRUE(Reload(kElsewhere).ok());
  TakeLog();
  ASSERT_EQ(unlink(file_.c_str()), 0);
  ASSERT_EQ(symlink("/dev/null", file_.c_str()), 0);
  EXPECT_EQ(ReloadPolicy(file_, policy_, loop_, *registry_).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(TakeLog().size(), 1u);
  EXPECT_EQ(ReasonOfCreate("a"), "OUTSIDE_POLICY");
}

TEST_F(PolicyReloadTest, WhatIsOpenAsksTheNewOneAtItsNextConnect) {
  PlainListener upstream;
  const auto listener = Create("front", upstream.port());
  ASSERT_TRUE(listener.ok()) << listener.status();
  const int port = listener->status().listening_on().inet().port();
  PlainClient before(port);
  before.Send("ping");
  PlainClient through = upstream.Accept();
  through.Expect("ping");
  ASSERT_TRUE(Reload("dial { deny { cidrs: '127.0.0.0/8' } }").ok());
  EXPECT_EQ(TakeLog().back(),
            "warning: outside of the policy now, but open: listeners/front");
  PlainClient after(port);
  EXPECT_EQ(after.Receive(), "ECONNRESET");
  EXPECT_FALSE(upstream.HasClient());
  through.Send("pong");
  before.Expect("pong");
  ASSERT_TRUE(Reload("").ok());
  PlainClient again(port);
  again.Send("ping");
  upstream.Accept().Expect("ping");
}

TEST_F(PolicyReloadTest, OnlySomeAreNamed) {
  for (int i = 10; i < 35; ++i) {
    ASSERT_TRUE(Create("l" + std::to_string(i)).ok());
  }
  ASSERT_TRUE(Reload(kElsewhere).ok());
  const std::string line = TakeLog().back();
  EXPECT_NE(line.find("listeners/l29, and 5 more"), std::string::npos) << line;
  EXPECT_EQ(line.find("listeners/l30"), std::string::npos) << line;
}

TEST_F(PolicyReloadTest, ThatNobodyHasARoleAnyMoreIsSaid) {
  ASSERT_TRUE(Reload("identities { name: 'a' role: ROLE_ADMIN }").ok());
  TakeLog();
  ASSERT_TRUE(Reload("").ok());
  EXPECT_EQ(TakeLog().back(),
            "warning: the policy has no identities any more: no certificate "
            "may do anything");
}

}  // namespace
}  // namespace portreeve::server
