// The ids of connections.
#include "lib/net/any_connection.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

namespace portreeve {
namespace {

class Plain final : public AnyConnection {
 public:
  explicit Plain(Executor executor) : closed_(std::move(executor)) {}

  const AnyAddress& peer() const override { return address_; }
  const AnyAddress& local() const override { return address_; }
  int64_t bytes_received() const override { return 0; }
  int64_t bytes_sent() const override { return 0; }
  size_t bytes_to_write() const override { return 0; }
  CloseReason reason() const override { return CloseReason::kNone; }
  bool is_open() const override { return true; }
  Deferred<> closed() const override { return closed_.deferred(); }
  Deferred<> Close(ExistingConnections, CloseReason) override {
    return closed();
  }

 private:
  const AnyAddress address_;
  const Ivar<> closed_;
};

// It is one test, for ids are the process's.
TEST(AnyConnectionTest, IdsGoOnFromWhereTheyAreSetTo) {
  asio::io_context loop{1};
  const Executor executor(loop.get_executor());
  EXPECT_EQ(AnyConnection::NextId(), 1);
  EXPECT_DEATH(AnyConnection::SetNextId(0), "CHECK failed");
  AnyConnection::SetNextId(1);  // Where the other process had none yet.
  AnyConnection::SetNextId(71);
  EXPECT_EQ(AnyConnection::NextId(), 71);
  EXPECT_DEATH(AnyConnection::SetNextId(72), "CHECK failed");
  EXPECT_EQ(Plain(executor).id(), 71);
  EXPECT_EQ(Plain(executor).id(), 72);
  EXPECT_EQ(AnyConnection::NextId(), 73);
  EXPECT_DEATH(AnyConnection::SetNextId(73), "CHECK failed");
}

}  // namespace
}  // namespace portreeve
