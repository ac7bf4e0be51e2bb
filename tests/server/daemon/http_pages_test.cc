// Who may see which page, and what health and readiness say.
#include "server/daemon/http_pages.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/loop.h"
#include "tests/server/policy_in_words.h"
#include "tests/testing/loop_fixture.h"

namespace portreeve::server {
namespace {

using ::portreeve::testing::ReadPolicy;

constexpr char kIdentities[] = R"(
  identities { name: "vera" role: ROLE_VIEWER }
  identities { name: "anna" role: ROLE_ADMIN }
  identities { name: "unix:4711" role: ROLE_OPERATOR }
  identities { name: "unix:@4242" role: ROLE_VIEWER }
)";

HttpPeer WithNames(std::vector<std::string> names) {
  HttpPeer peer;
  peer.is_secure = true;
  peer.names = std::move(names);
  return peer;
}
HttpPeer User(uid_t user, gid_t group, std::vector<gid_t> groups = {}) {
  HttpPeer peer;
  peer.credentials = ucred{1, user, group};
  peer.groups = std::move(groups);
  return peer;
}

class HttpPagesTest : public ::portreeve::testing::LoopFixture {
 protected:
  void Make(Certificates certificates, const std::string& policy) {
    policy_.Replace(ReadPolicy(policy));
    const HttpPageSources sources{daemon_loop_, policy_, certificates,
                                  readiness_};
    pages_ = MakeHttpPages(sources, executor());
  }
  void TearDown() override {
    pages_.clear();
    work_.reset();
  }

  std::string Ask(const std::string& path, const HttpPeer& peer = {}) {
    HttpRequest request;
    request.path = path;
    request.peer = std::make_shared<const HttpPeer>(peer);
    std::optional<std::string> answer;
    pages_.at(path)(request, [&](HttpAnswer given) {
      answer = std::to_string(given.status) + " " + given.body;
    });
    RunUntil([&] { return answer.has_value(); });
    return answer->substr(0, answer->find('\n'));
  }
  std::string Status(const std::string& path, const HttpPeer& peer) {
    return Ask(path, peer).substr(0, 3);
  }

  // What comes from the other loop is waited for.
  asio::executor_work_guard<asio::io_context::executor_type> work_{
      loop().get_executor()};
  Loop daemon_loop_;
  LivePolicy policy_;
  std::atomic<Readiness> readiness_ = Readiness::kStarting;
  HttpPages pages_;
};

TEST_F(HttpPagesTest, ReadinessIsThatOfTheDaemon) {
  Make(Certificates::kAreAdmins, "");
  EXPECT_EQ(Ask("/readyz"), "503 starting");
  readiness_ = Readiness::kReady;
  EXPECT_EQ(Ask("/readyz"), "200 ready");
  readiness_ = Readiness::kShuttingDown;
  EXPECT_EQ(Ask("/readyz"), "503 shutting down");
  EXPECT_EQ(Ask("/healthz"), "200 ok");
}

TEST_F(HttpPagesTest, HealthIsThatOfTheLoop) {
  Make(Certificates::kAreAdmins, "");
  std::promise<void> held;
  std::promise<void> free;
  daemon_loop_.Post([&] {
    held.set_value();
    free.get_future().wait();
  });
  held.get_future().wait();
  HttpRequest request;
  std::string answer;
  pages_.at("/healthz")(request,
                        [&](HttpAnswer given) { answer = given.body; });
  Settle();
  EXPECT_EQ(answer, "");
  time().Advance(std::chrono::seconds(1));
  EXPECT_EQ(answer, "loop stuck for 1.0 s\n");
  EXPECT_EQ(Ask("/healthz"), "503 loop stuck for 1.0 s");
  // Whether the daemon is ready is another question.
  EXPECT_EQ(Ask("/readyz"), "503 starting");
  free.set_value();
}

// Whoever has found the way in gets health, and nothing else.
TEST_F(HttpPagesTest, EveryPageButHealthNeedsAViewer) {
  Make(Certificates::kHaveTheRolesOfThePolicy, kIdentities);
  readiness_ = Readiness::kReady;
  ASSERT_GT(pages_.size(), 2u);
  for (const auto& [path, page] : pages_) {
    SCOPED_TRACE(path);
    const bool is_health = path == "/healthz" || path == "/readyz";
    const std::string of_others = is_health ? "200" : "403";
    for (const HttpPeer& known :
         {WithNames({"vera"}), WithNames({"x", "anna"}), User(4711, 1),
          User(1, 4242), User(1, 1, {7, 4242}), User(0, 0), HttpPeer()}) {
      EXPECT_EQ(Status(path, known), "200");
    }
    for (const HttpPeer& unknown :
         {WithNames({"eve"}), WithNames({}), WithNames({"unix:4711"}),
          User(1, 1), User(4242, 4711, {4711})}) {
      EXPECT_EQ(Status(path, unknown), of_others);
    }
  }
}

TEST_F(HttpPagesTest, ARefusalSaysWhatIsNeededAndWhoAsks) {
  Make(Certificates::kHaveTheRolesOfThePolicy, kIdentities);
  EXPECT_EQ(Ask("/", WithNames({"eve", "e"})),
            "403 eve has no role; / needs the role viewer");
  EXPECT_EQ(Ask("/", User(1000, 1)),
            "403 unix:uid=1000 has no role; / needs the role viewer");
}

TEST_F(HttpPagesTest, WithoutAPolicyEveryCertificateIsAnAdmins) {
  Make(Certificates::kAreAdmins, "");
  EXPECT_EQ(Status("/", WithNames({"eve"})), "200");
  EXPECT_EQ(Status("/", User(1000, 1)), "200");
}

TEST_F(HttpPagesTest, APolicyThatIsReadAgainHolds) {
  Make(Certificates::kHaveTheRolesOfThePolicy, kIdentities);
  EXPECT_EQ(Status("/", WithNames({"vera"})), "200");
  policy_.Replace(ReadPolicy(R"(
    identities { name: "eve" role: ROLE_VIEWER }
  )"));
  EXPECT_EQ(Status("/", WithNames({"vera"})), "403");
  EXPECT_EQ(Status("/", WithNames({"eve"})), "200");
}

}  // namespace
}  // namespace portreeve::server
