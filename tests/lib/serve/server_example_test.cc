// The example at the top of lib/serve/server.h, line by line
// (//tests/lib:header_examples_test compares them).
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/connect/connect.h"
#include "lib/serve/server.h"

namespace portreeve::testing {
namespace {

Task<> Echo(Inet::Address client, Reader& reader, Writer& writer) {
  std::array<char, 4096> buffer;
  while (const size_t size = co_await reader.Read(buffer)) {
    writer.Write({buffer.data(), size});
    co_await writer.Flushed().Wait();
  }
}

// What the server is closed by in the test: a client that has its echo.
Task<> UseAndClose(Server<Inet>& server, std::string* echo) {
  auto talk = [&server, echo](Socket<Inet>, Reader& reader,
                              Writer& writer) -> Task<> {
    writer.Write("hello");
    std::array<char, 5> bytes;
    co_await reader.ReadExactly(bytes);
    server.Close();
    writer.Write(", world");
    writer.HalfClose();
    *echo = std::string(bytes.data(), bytes.size()) + co_await reader.ReadAll();
  };
  const ConnectOptions options;
  co_await WithConnection(
      WhereToConnect<Inet>::OfHostAndPort("127.0.0.1", server.listening_on()),
      options, talk);
}

absl::Status Serve(std::string* echo) {
  asio::io_context loop;
  const auto server = Server<Inet>::Create(
      loop.get_executor(), WhereToListen<Inet>::OfPortChosenByOs(),
      RaiseHandlerError(), Echo);
  if (!server.ok()) return server.status();
  Log(LogLevel::kInfo,
      absl::StrCat("listening on port ", (*server)->listening_on()));
  TaskScope tasks(loop.get_executor());
  tasks.Spawn(UseAndClose(**server, echo));
  loop.run();  // Until Close() was called, and the last handler has ended.
  return absl::OkStatus();
}

TEST(ServerExample, RunsUntilItsLastHandlerHasEnded) {
  std::string echo;
  EXPECT_EQ(Serve(&echo), absl::OkStatus());
  EXPECT_EQ(echo, "hello, world");
}

}  // namespace
}  // namespace portreeve::testing
