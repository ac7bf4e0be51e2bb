// Where the kernel refuses splice(2), as a container's filter may have it.
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <cerrno>
#include <string>

#include "tests/server/forward_fixture.h"
#include "tests/testing/refused_call.h"

namespace portreeve::testing {
namespace {

class RefusedSpliceTest : public ForwardFixture {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(RefuseCall(SYS_splice, ENOSYS)); }
};

INSTANTIATE_TEST_SUITE_P(Kinds, RefusedSpliceTest,
                         ::testing::ValuesIn(kForwardKinds), NameOfKind);

TEST_P(RefusedSpliceTest, MuchIsCarriedAllTheSame) {
  RawClient client = Through();
  std::string block(100'000, '\0');
  for (size_t i = 0; i < block.size(); ++i) {
    block[i] = static_cast<char>(i * 37 + i / 241);
  }
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(client.Send(block), "ok");
    ASSERT_EQ(upstream_->ReceiveExactly(block.size()), block);
    ASSERT_EQ(upstream_->Send(block), "ok");
    ASSERT_EQ(client.ReceiveExactly(block.size()), block);
  }
  client.CloseSending();
  EXPECT_EQ(upstream_->Receive(), "EOF");
  upstream_->Close();
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(Reason(), CloseReason::kPeerClosed);
}

}  // namespace
}  // namespace portreeve::testing
