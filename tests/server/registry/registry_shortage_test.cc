// What the control plane says when there are no descriptors left.
#include <errno.h>

#include <optional>

#include "lib/base/status.h"
#include "tests/server/registry_fixture.h"
#include "tests/testing/descriptors.h"

namespace portreeve::server {
namespace {

using testing::FewDescriptors;
using testing::RawClient;

TEST_F(RegistryTest, WithoutDescriptorsNothingIsCreated) {
  absl::Status status;
  {
    const FewDescriptors few(0);
    status = TryCreate(Request("a")).status();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(DetailOf(status).reason, Reason::kFdLimit);
  EXPECT_EQ(DetailOf(status).error_number, EMFILE);
  EXPECT_TRUE(registry_->listeners().empty());
  EXPECT_EQ(events_.last_revision(), 0);
  Create("a");  // The id is free.
}

TEST_F(RegistryTest, AnAcceptThatFailsIsToldAndTheListenerRecovers) {
  const v1::Listener listener = Create("a");
  RawClient client = Connect(listener);
  TakeEvents();
  std::optional<v1::Event> failed;
  {
    const FewDescriptors few(0);
    RunUntil([&] { return events_.last_revision() > seen_; });
    failed = TakeEvents().at(0);
  }
  ASSERT_TRUE(failed->has_accept_failed());
  EXPECT_EQ(failed->accept_failed().listener(), "listeners/a");
  EXPECT_EQ(failed->accept_failed().error_number(), EMFILE);
  EXPECT_NE(failed->accept_failed().message().find("Too many open files"),
            std::string::npos);
  EXPECT_EQ(registry_->Get("a")->message().status().state(),
            v1::LISTENER_STATE_LISTENING);

  time().Advance(std::chrono::seconds(1));
  RunUntil([&] { return num_connections() == 1; });
  EXPECT_EQ(client.Send("x"), "ok");
  EXPECT_EQ(client.Receive(), "x");
}

}  // namespace
}  // namespace portreeve::server
