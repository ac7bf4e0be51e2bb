#include "server/handlers.h"

#include <array>
#include <memory>
#include <span>
#include <utility>

#include "lib/served_connection.h"

namespace portreeve::server {
namespace {

constexpr size_t kEchoBytes = 32 * 1024;

Task<> Echo(ServedConnection& client) {
  // Not initialised: a connection without traffic touches none of its pages.
  const auto buffer = std::make_unique_for_overwrite<char[]>(kEchoBytes);
  const std::span<char> space(buffer.get(), kEchoBytes);
  for (;;) {
    const size_t size = co_await client.reader().Read(space);
    // A Writer that was closed meanwhile, by the age limit or from outside,
    // takes no more.
    if (size == 0 || client.writer().is_closed()) co_return;
    client.writer().Write({buffer.get(), size});
    const Deferred<FlushResult> flushed = client.writer().Flushed();
    const FlushResult result = co_await flushed.Wait();
    if (result == FlushResult::kLost) co_return;
  }
}

// `scratch`: where all connections of the loop read to; nobody looks at it.
Task<> Discard(ServedConnection& client,
               std::shared_ptr<std::array<char, 64 * 1024>> scratch) {
  const std::span<char> space(*scratch);
  while (co_await client.reader().Read(space) != 0) {
  }
}

// A handler that is not blamed for a peer that does not read.
AnyHandler Quiet(std::function<Task<>(ServedConnection&)> run) {
  AnyHandler handler;
  handler.run = std::move(run);
  handler.writer_errors = AnyHandler::WriterErrors::kOnlyClose;
  return handler;
}

}  // namespace

AnyHandler EchoHandler() {
  return Quiet([](ServedConnection& client) { return Echo(client); });
}

AnyHandler DiscardHandler() {
  auto scratch = std::make_shared<std::array<char, 64 * 1024>>();
  return Quiet([scratch = std::move(scratch)](ServedConnection& client) {
    return Discard(client, scratch);
  });
}

}  // namespace portreeve::server
