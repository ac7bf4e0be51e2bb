// apply, diff and export against a gRPC server that plays the daemon: what a
// real one does not show at will.
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/client/cli_fixture.h"
#include "tests/client/fake_daemon.h"

namespace portreeve::cli {
namespace {

using client::Refusal;
using grpc::Status;

class CliApplyTest : public CliTest {
 protected:
  CliApplyTest() {
    daemon_.list_listeners.set_answer([this](const v1::ListListenersRequest&,
                                             v1::ListListenersResponse& page) {
      for (const v1::Listener& one : present_) *page.add_listeners() = one;
      return Status::OK;
    });
    file_ = absl::StrCat(::testing::TempDir(), "/apply.yaml");
    Write("name: web\nspec: {handler: {echo: {}}}\n");
  }

  void Write(const std::string& text) { std::ofstream(file_) << text; }

  void AddPresent(const std::string& name, bool closed) {
    v1::Listener& one = present_.emplace_back();
    one.set_name(name);
    (*one.mutable_spec()->mutable_labels())["team"] = "blue";
    one.mutable_status()->set_is_closed(closed);
  }

  std::vector<v1::Listener> present_;
  std::string file_;
};

TEST_F(CliApplyTest, ACreationWhoseAnswerIsLostIsAskedForOnceMore) {
  int asked = 0;
  daemon_.create_listener.set_answer(
      [&asked](const v1::CreateListenerRequest& request, v1::Listener&) {
        if (request.validate_only() || ++asked == 2) return Status::OK;
        return Status(grpc::StatusCode::UNAVAILABLE, "lost");
      });
  EXPECT_EQ(Run({"apply", "-f", file_}), ExitStatus::kDone) << err();
  EXPECT_EQ(out(), "listeners/web created\n");
  const auto requests = daemon_.create_listener.requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_TRUE(requests[0].validate_only());
  EXPECT_EQ(requests[0].request_id(), "");
  EXPECT_EQ(requests[1].request_id().size(), 32u);
  EXPECT_EQ(requests[1].SerializeAsString(), requests[2].SerializeAsString());
  // Another run is another request.
  asked = 1;
  EXPECT_EQ(Run({"apply", "-f", file_}), ExitStatus::kDone);
  EXPECT_NE(daemon_.create_listener.requests().back().request_id(),
            requests[1].request_id());
}

TEST_F(CliApplyTest, ARelativePathCountsFromTheDirectoryOfTheCli) {
  daemon_.create_listener.set_answer(
      [](const auto&, auto&) { return Status::OK; });
  const Environment environment = {.server = daemon_.address(),
                                   .directory = ::testing::TempDir()};
  EXPECT_EQ(Run({"apply", "-f", "./apply.yaml"}, environment),
            ExitStatus::kDone)
      << err();
  EXPECT_EQ(out(), "listeners/web created\n");
  EXPECT_EQ(Run({"apply", "-f", "apply.yaml"},
                {.server = daemon_.address(), .directory = "/nowhere"}),
            ExitStatus::kUsage);
}

TEST_F(CliApplyTest, ADaemonThatIsLostIsToldOnceWithItsExitStatus) {
  Write("name: a\nspec: {}\n---\nname: b\nspec: {}\n");
  daemon_.create_listener.set_answer([](const auto&, auto&) {
    return Status(grpc::StatusCode::UNAVAILABLE, "lost");
  });
  EXPECT_EQ(Run({"apply", "-f", file_}), ExitStatus::kUnreachable);
  EXPECT_EQ(daemon_.create_listener.requests().size(), 1u);
  EXPECT_EQ(out(), "");
}

TEST_F(CliApplyTest, OneThatFailsHoldsUpNoOther) {
  Write("name: a\nspec: {}\n---\nname: b\nspec: {}\n");
  daemon_.create_listener.set_answer(
      [](const v1::CreateListenerRequest& request, v1::Listener&) {
        if (request.validate_only() || request.listener_id() == "b") {
          return Status::OK;
        }
        return Refusal(grpc::StatusCode::ALREADY_EXISTS, "in use",
                       "ADDRESS_IN_USE");
      });
  EXPECT_EQ(Run({"apply", "-f", file_}), ExitStatus::kRefused);
  EXPECT_EQ(out(), "listeners/b created\n");
  EXPECT_EQ(err().find(absl::StrCat("portreeve: apply: listeners/a: ", file_,
                                    ", document 1, line 1: ADDRESS_IN_USE: ")),
            0u)
      << err();
}

TEST_F(CliApplyTest, WhatStillHasConnectionsIsClosedOnly) {
  AddPresent("listeners/old", false);
  daemon_.create_listener.set_answer(
      [](const auto&, auto&) { return Status::OK; });
  daemon_.close_listener.set_answer(
      [](const auto&, auto&) { return Status::OK; });
  daemon_.delete_listener.set_answer([](const auto&, auto&) {
    return Refusal(grpc::StatusCode::FAILED_PRECONDITION, "has connections",
                   "LISTENER_OPEN");
  });
  EXPECT_EQ(Run({"apply", "-f", file_, "--prune", "--selector", "team=blue"}),
            ExitStatus::kDone);
  EXPECT_EQ(out(), "listeners/old closed\nlisteners/web created\n");
  EXPECT_EQ(err(),
            "portreeve: apply: listeners/old: its connections go on; it can "
            "be deleted once they have ended\n");
  EXPECT_EQ(daemon_.close_listener.requests()[0].ShortDebugString(),
            "name: \"listeners/old\"");
}

TEST_F(CliApplyTest, WhatIsGoneMeanwhileIsDeleted) {
  AddPresent("listeners/web", true);
  AddPresent("listeners/old", true);
  daemon_.create_listener.set_answer(
      [](const auto&, auto&) { return Status::OK; });
  daemon_.delete_listener.set_answer([](const auto&, auto&) {
    return Refusal(grpc::StatusCode::NOT_FOUND, "none", "NOT_FOUND");
  });
  EXPECT_EQ(Run({"apply", "-f", file_, "--prune", "--selector", "team=blue"}),
            ExitStatus::kDone)
      << err();
  EXPECT_EQ(out(), "listeners/old deleted\nlisteners/web created\n");
  EXPECT_EQ(err(), "");
}

TEST_F(CliApplyTest, WhatIsClosedButHasConnectionsIsToldAndNotCreated) {
  AddPresent("listeners/web", true);
  daemon_.create_listener.set_answer(
      [](const auto&, auto&) { return Status::OK; });
  daemon_.delete_listener.set_answer([](const auto&, auto&) {
    return Refusal(grpc::StatusCode::FAILED_PRECONDITION, "has connections",
                   "LISTENER_OPEN");
  });
  EXPECT_EQ(Run({"apply", "-f", file_}), ExitStatus::kRefused);
  EXPECT_EQ(out(), "");
  EXPECT_NE(err().find("LISTENER_OPEN: has connections"), std::string::npos);
  // It was asked about without its name, which is taken.
  ASSERT_EQ(daemon_.create_listener.requests().size(), 1u);
  EXPECT_EQ(daemon_.create_listener.requests()[0].listener_id(), "");
  EXPECT_TRUE(daemon_.create_listener.requests()[0].validate_only());
}

TEST_F(CliApplyTest, WrongUsageAsksNothing) {
  const std::vector<Arguments> kWrong = {
      {"apply"},
      {"diff"},
      {"apply", "-f", ""},
      {"apply", "-f", file_, "--prune"},
      {"apply", "-f", file_, "--selector", "a=b"},
      {"apply", "-f", file_, "--prune", "--selector", "a"},
      {"apply", "-f", file_, "--format", "xml"},
      {"diff", "-f", file_, "--dry-run"},
      {"export", "--format", "xml"},
  };
  for (const Arguments& arguments : kWrong) {
    EXPECT_EQ(Run(arguments), ExitStatus::kUsage) << err();
    EXPECT_EQ(out(), "");
  }
  EXPECT_TRUE(daemon_.list_listeners.requests().empty());
}

TEST_F(CliApplyTest, OutputThatCannotBeWrittenIsAFailure) {
  std::ostream closed(nullptr);
  EXPECT_EQ(cli::Run({"export"}, {.server = daemon_.address()}, closed, err_),
            ExitStatus::kFailed);
}

}  // namespace
}  // namespace portreeve::cli
