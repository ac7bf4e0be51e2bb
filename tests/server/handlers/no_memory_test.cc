// Where there is no memory for what a peer does not take.
#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>

#include "tests/server/handlers_fixture.h"
#include "tests/testing/descriptors.h"

namespace {
bool refuses_memory = false;
}  // namespace

// Of the process, whoever calls it.
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return refuses_memory ? nullptr : std::malloc(size);
}

namespace portreeve::testing {
namespace {

class NoMemoryTest : public HandlersFixture {
 protected:
  NoMemoryTest() { refuses_memory = true; }
  ~NoMemoryTest() override { refuses_memory = false; }
};

TEST_F(NoMemoryTest, AConnectionIsResetAndTheOthersGoOn) {
  AnyServer& server = Serve(server::EchoHandler());
  RawClient other = ClientOf(server);
  RawClient client = ClientOf(server);
  RunUntil([&] { return server.num_connections() == 2; });
  {
    const FewDescriptors few(0);  // Nor a pipe.
    Flood(client);
    EXPECT_EQ(ClosedReasons(1).back(), CloseReason::kForced);
  }
  EXPECT_EQ(other.Send("x"), "ok");
  EXPECT_EQ(other.Receive(), "x");
}

}  // namespace
}  // namespace portreeve::testing
