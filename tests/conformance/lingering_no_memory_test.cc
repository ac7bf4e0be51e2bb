// A close that has to linger where there is no memory, once or several times in
// a row, anywhere between the handler's end and the descriptor's.
#include <chrono>
#include <string>

#include "tests/conformance/lingering_close.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::testing {
namespace {

class LingeringNoMemoryTest : public LingeringClose,
                              public ::testing::WithParamInterface<int> {};

TEST_P(LingeringNoMemoryTest, EveryCloseIsTold) {
  bool refused = true;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, 1'000);
    auto [server, client, call] = StartWithUnread(IgnoreHandlerError());
    const auto connection = OnlyConnection(server);
    call.writer->Write(std::string(kBytes, 'x'));
    Settle();
    call.end.Fill("");
    refused = SettleWithMemory(loop(), given, GetParam());
    // A client that reads nothing keeps it until its time is up.
    Pass(std::chrono::minutes(2));
    WaitForNoConnections(server);
    EXPECT_FALSE(connection->is_open());
    EXPECT_TRUE(server.any_server().connections().empty());
    (void)TakeErrors();
    (void)TakeLog();
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(, LingeringNoMemoryTest, ::testing::Values(1, 2, 10));

}  // namespace
}  // namespace portreeve::testing
