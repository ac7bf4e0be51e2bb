#include "lib/connect/remote_address.h"

#include <optional>
#include <string>
#include <utility>

#include "tests/lib/connect_sock_fixture.h"

namespace portreeve::testing {
namespace {

using InetAddressRunner = TaskRunner<Inet::Address>;
using UnixAddressRunner = TaskRunner<Unix::Address>;

class RemoteAddressTest : public ConnectSockTest {
 protected:
  static WhereToConnect<Inet> At(const std::string& host) {
    return WhereToConnect<Inet>::OfHostAndPort(host, 80);
  }

  // The address as text, or the error's.
  std::string Of(const WhereToConnect<Inet>& where) {
    InetAddressRunner runner(loop_, RemoteAddress<Inet>(where, &resolver_));
    RunToEnd(runner);
    if (!runner.status().ok()) return Text(runner.status());
    return ToString(runner.value());
  }
};

TEST_F(RemoteAddressTest, OfALiteral) {
  EXPECT_EQ(Of(At("192.0.2.1")), "tcp:192.0.2.1:80");
  EXPECT_EQ(Of(At("2001:db8::1")), "tcp:[2001:db8::1]:80");
  // As connect(2) takes them.
  EXPECT_EQ(Of(At("::ffff:192.0.2.1")), "tcp:192.0.2.1:80");
  EXPECT_EQ(Of(At("0.0.0.0")), "tcp:127.0.0.1:80");
  EXPECT_EQ(resolver_.num_lookups(), 0);
}

TEST_F(RemoteAddressTest, OfANameIsTheOneThatIsTriedFirst) {
  resolver_.Answer(Family::kV6, {A("2001:db8::2"), A("2001:db8::1")});
  resolver_.Answer(Family::kV4, {A("192.0.2.1")});
  EXPECT_EQ(Of(At("some.example")), "tcp:[2001:db8::2]:80");
}

TEST_F(RemoteAddressTest, OfANameOfOneFamily) {
  resolver_.Answer(Family::kV6, {});
  resolver_.Answer(Family::kV4, {A("192.0.2.2"), A("192.0.2.1")});
  EXPECT_EQ(Of(At("some.example")), "tcp:192.0.2.2:80");
}

TEST_F(RemoteAddressTest, OfANameOfWhichOneLookupFails) {
  resolver_.Fail(Family::kV6, absl::UnavailableError("no answer"));
  resolver_.Answer(Family::kV4, {A("192.0.2.1")});
  EXPECT_EQ(Of(At("some.example")), "tcp:192.0.2.1:80");
}

TEST_F(RemoteAddressTest, IsOfTheFamilyOfTheSource) {
  resolver_.Answer(Family::kV6, {A("2001:db8::1")});
  resolver_.Answer(Family::kV4, {A("192.0.2.1")});
  WhereToConnect<Inet> where = At("some.example");
  where.bind_to_address = A("127.0.0.1");
  EXPECT_EQ(Of(where), "tcp:192.0.2.1:80");
  EXPECT_EQ(resolver_.num_lookups(), 1);
  where.bind_to_address = A("::ffff:127.0.0.1");
  EXPECT_EQ(Of(where), "tcp:192.0.2.1:80");
  where.bind_to_address = A("::1");
  EXPECT_EQ(Of(where), "tcp:[2001:db8::1]:80");
}

TEST_F(RemoteAddressTest, IsAnErrorWhereThereIsNone) {
  resolver_.Answer(Family::kV6, {});
  resolver_.Answer(Family::kV4, {});
  EXPECT_EQ(Of(At("some.example")), "resolve tcp:some.example:80: no address");
  resolver_.Fail(Family::kV4, absl::UnavailableError("no answer"));
  EXPECT_EQ(Of(At("some.example")), "no answer");
  EXPECT_EQ(Of(At("")), "host: must not be empty");
}

TEST_F(RemoteAddressTest, IsGivenUpWhereItIsCancelled) {
  InetAddressRunner runner(loop_,
                           RemoteAddress<Inet>(At("some.example"), &resolver_));
  RunReady();
  EXPECT_EQ(resolver_.num_running(), 1);
  runner.Cancel();
  RunToEnd(runner);
  EXPECT_TRUE(runner.cancelled());
  EXPECT_EQ(resolver_.num_running(), 0);
  EXPECT_EQ(resolver_.num_lookups(), 1);
}

TEST_F(RemoteAddressTest, IsAskedOfTheLoopsResolverByDefault) {
  InetAddressRunner runner(loop_, RemoteAddress<Inet>(At("localhost")));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(ToString(runner.value()), "tcp:[::1]:80");
}

TEST_F(RemoteAddressTest, OfAFileIsItsPath) {
  UnixAddressRunner runner(
      loop_, RemoteAddress<Unix>(WhereToConnect<Unix>::OfFile("/run/x")));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().path(), "/run/x");
  UnixAddressRunner wrong(loop_, RemoteAddress<Unix>(WhereToConnect<Unix>()));
  RunToEnd(wrong);
  EXPECT_EQ(DetailOf(wrong.status()).field, "path");
}

}  // namespace
}  // namespace portreeve::testing
