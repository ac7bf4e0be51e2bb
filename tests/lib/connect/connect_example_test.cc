// The example at the top of lib/connect/connect.h, line by line
// (//tests/lib:header_examples_test compares them).
#include <chrono>
#include <optional>
#include <string>

#include "lib/connect/connect.h"
#include "lib/serve/server.h"
#include "tests/testing/loop_fixture.h"

namespace portreeve::testing {
namespace {

Task<std::string> Ask(std::string host, int port) {
  ConnectOptions options;
  options.timeout = std::chrono::seconds(5);
  auto talk = [](Socket<Inet>, Reader& reader,
                 Writer& writer) -> Task<std::string> {
    writer.Write("how are you?\n");
    writer.HalfClose();
    co_return co_await reader.ReadAll();
  };
  co_return co_await WithConnection(
      WhereToConnect<Inet>::OfHostAndPort(host, port), options, talk);
}

using ConnectExample = LoopFixture;

TEST_F(ConnectExample, GivesTheAnswerOfTheOtherSide) {
  auto answer = [](Inet::Address, Reader& reader, Writer& writer) -> Task<> {
    const std::optional<std::string> question = co_await reader.ReadUntil('?');
    writer.Write(question.value_or("") + ": well");
  };
  auto server =
      Server<Inet>::Create(executor(), WhereToListen<Inet>::OfLocalhost(0),
                           RaiseHandlerError(), answer);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(Run(Ask("localhost", (*server)->listening_on())),
            "how are you: well");
  RunUntil((*server)->Close());
  RunUntil((*server)->close_finished_and_handlers_determined());
}

}  // namespace
}  // namespace portreeve::testing
