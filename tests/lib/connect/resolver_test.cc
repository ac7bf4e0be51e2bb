#include "lib/connect/resolver.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <sanitizer/allocator_interface.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/time_source.h"
#include "lib/connect/cares_resolver.h"
#include "lib/net/descriptor_part.h"
#include "tests/lib/connect/fake_name_server.h"
#include "tests/lib/task_runner.h"
#include "tests/testing/descriptors.h"

namespace portreeve {
namespace {

using testing::CountDescriptors;
using testing::FakeNameServer;
using testing::RunUntil;
using testing::TaskRunner;
using Addresses = std::vector<asio::ip::address>;
using Family = Resolver::Family;
using Lookup = TaskRunner<Addresses>;

asio::ip::address A(const char* text) { return asio::ip::make_address(text); }

CaresResolver::Options ServedBy(const FakeNameServer& server) {
  CaresResolver::Options options;
  options.servers = server.address();
  return options;
}

// Looks `name` up at a server that answers so.
class ResolverTest : public ::testing::Test {
 protected:
  ResolverTest() : ResolverTest(FakeNameServer::Answer()) {}
  explicit ResolverTest(FakeNameServer::Answer answer)
      : answer_(answer),
        server_(loop_,
                [this](const std::string& name, bool v6) {
                  asked_.push_back(name + (v6 ? " AAAA" : " A"));
                  return answer_;
                }),
        resolver_(ServedBy(server_)) {
    // Asio and c-ares open what they keep at the first use.
    Lookup warm_up(loop_, resolver_.Lookup("warm.example", Family::kV4));
    EXPECT_TRUE(RunUntil(loop_, [&] { return warm_up.ended(); }));
    asked_.clear();
    num_fds_ = CountDescriptors();
  }

  ~ResolverTest() override {
    EXPECT_EQ(CountDescriptors(), num_fds_);
    server_.Stop();
    loop_.restart();
    loop_.run();  // It runs dry: nothing was left behind.
  }

  // What the lookup gives, or its error.
  absl::Status LookUp(const std::string& name, Family family) {
    Lookup lookup(loop_, resolver_.Lookup(name, family));
    EXPECT_TRUE(RunUntil(loop_, [&] { return lookup.ended(); }));
    if (lookup.status().ok()) addresses_ = lookup.value();
    return lookup.status();
  }

  asio::io_context loop_{1};
  FakeTimeSource time_{loop_};  // Stands still: no timeout hides a lost event.
  FakeNameServer::Answer answer_;
  std::vector<std::string> asked_;
  FakeNameServer server_;
  CaresResolver resolver_;
  Addresses addresses_;
  int num_fds_ = 0;
};

TEST_F(ResolverTest, GivesTheServersIPv4Addresses) {
  answer_.addresses = {A("192.0.2.1"), A("192.0.2.2")};
  EXPECT_TRUE(LookUp("two.example", Family::kV4).ok());
  std::sort(addresses_.begin(), addresses_.end());
  EXPECT_EQ(addresses_, (Addresses{A("192.0.2.1"), A("192.0.2.2")}));
  EXPECT_EQ(asked_, std::vector<std::string>{"two.example A"});
}

TEST_F(ResolverTest, GivesTheServersIPv6Addresses) {
  answer_.addresses = {A("2001:db8::1")};
  EXPECT_TRUE(LookUp("six.example", Family::kV6).ok());
  EXPECT_EQ(addresses_, Addresses{A("2001:db8::1")});
  EXPECT_EQ(asked_, std::vector<std::string>{"six.example AAAA"});
}

TEST_F(ResolverTest, ANameWithoutAddressesOfTheFamilyGivesNone) {
  EXPECT_TRUE(LookUp("none.example", Family::kV6).ok());
  EXPECT_EQ(addresses_, Addresses());
}

TEST_F(ResolverTest, AnUnknownNameGivesNone) {
  answer_.rcode = 3;
  EXPECT_TRUE(LookUp("unknown.example", Family::kV4).ok());
  EXPECT_EQ(addresses_, Addresses());
}

TEST_F(ResolverTest, AServerThatFailsIsADnsFailure) {
  for (int rcode : {2, 5}) {
    answer_.rcode = rcode;
    const absl::Status status = LookUp("broken.example", Family::kV4);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << rcode;
    EXPECT_EQ(DetailOf(status).reason, Reason::kDnsFailure);
    EXPECT_EQ(std::string(status.message()).find("resolve broken.example: "),
              0u)
        << status;
  }
}

TEST_F(ResolverTest, ANameThatIsNoneIsADnsFailure) {
  const std::string name = std::string(64, 'a') + ".example";
  const absl::Status status = LookUp(name, Family::kV4);
  EXPECT_EQ(DetailOf(status).reason, Reason::kDnsFailure);
  EXPECT_TRUE(asked_.empty());
}

TEST_F(ResolverTest, LocalhostNeedsNoServer) {
  answer_.addresses = {A("192.0.2.1")};
  for (const char* name : {"localhost", "LOCALHOST.", "a.localhost"}) {
    EXPECT_TRUE(LookUp(name, Family::kV4).ok());
    EXPECT_EQ(addresses_, Addresses{A("127.0.0.1")});
    EXPECT_TRUE(LookUp(name, Family::kV6).ok());
    EXPECT_EQ(addresses_, Addresses{A("::1")});
  }
  EXPECT_EQ(asked_, std::vector<std::string>());
}

TEST_F(ResolverTest, TheHostsFileComesBeforeTheServers) {
  const std::string file = ::testing::TempDir() + "/hosts";
  std::ofstream(file) << "192.0.2.7 filed.example\n";
  setenv("CARES_HOSTS", file.c_str(), 1);
  answer_.addresses = {A("192.0.2.1")};
  EXPECT_TRUE(LookUp("filed.example", Family::kV4).ok());
  EXPECT_EQ(addresses_, Addresses{A("192.0.2.7")});
  EXPECT_EQ(asked_, std::vector<std::string>());
  answer_.addresses = {A("2001:db8::1")};
  EXPECT_TRUE(LookUp("filed.example", Family::kV6).ok());
  EXPECT_EQ(addresses_, Addresses{A("2001:db8::1")});
  unsetenv("CARES_HOSTS");
}

TEST_F(ResolverTest, ALookupIsAbandonedAtOnce) {
  answer_.silent = true;
  Lookup lookup(loop_, resolver_.Lookup("silent.example", Family::kV4));
  EXPECT_TRUE(RunUntil(loop_, [&] { return !asked_.empty(); }));
  EXPECT_FALSE(lookup.ended());
  EXPECT_GT(CountDescriptors(), num_fds_);
  lookup.Cancel();
  loop_.poll();
  EXPECT_TRUE(lookup.ended());
  EXPECT_TRUE(lookup.cancelled());
  EXPECT_EQ(CountDescriptors(), num_fds_);
}

TEST_F(ResolverTest, ALookupDoesNotWaitForAnother) {
  answer_.silent = true;
  std::vector<std::unique_ptr<Lookup>> stuck;
  for (int i = 0; i < 20; ++i) {
    const std::string name = "silent" + std::to_string(i) + ".example";
    stuck.push_back(
        std::make_unique<Lookup>(loop_, resolver_.Lookup(name, Family::kV4)));
  }
  EXPECT_TRUE(RunUntil(loop_, [&] { return asked_.size() == stuck.size(); }));
  answer_.silent = false;
  answer_.addresses = {A("192.0.2.1")};
  EXPECT_TRUE(LookUp("good.example", Family::kV4).ok());
  EXPECT_EQ(addresses_, Addresses{A("192.0.2.1")});
  for (auto& lookup : stuck) {
    EXPECT_FALSE(lookup->ended());
    lookup->Cancel();
  }
  loop_.poll();
}

// Else the descriptors of the process are taken by those who wait for servers
// that do not answer.
TEST_F(ResolverTest, LookupsOfTheSameNameAtTheSameTimeHaveOneSocket) {
  answer_.silent = true;
  std::vector<std::unique_ptr<Lookup>> lookups;
  for (int i = 0; i < 20; ++i) {
    lookups.push_back(std::make_unique<Lookup>(
        loop_, resolver_.Lookup("same.example",
                                i % 2 == 0 ? Family::kV4 : Family::kV6)));
  }
  EXPECT_TRUE(RunUntil(loop_, [&] { return asked_.size() == 2; }));
  EXPECT_EQ(asked_,
            (std::vector<std::string>{"same.example A", "same.example AAAA"}));
  EXPECT_EQ(CountDescriptors(), num_fds_ + 1);
  // It lasts as long as anybody waits, be it not the one who began it.
  for (int i = 0; i < 19; ++i) {
    lookups[i]->Cancel();
    loop_.poll();
    EXPECT_TRUE(lookups[i]->cancelled());
  }
  EXPECT_EQ(CountDescriptors(), num_fds_ + 1);
  EXPECT_FALSE(lookups[19]->ended());
  lookups[19]->Cancel();
  loop_.poll();
  EXPECT_EQ(CountDescriptors(), num_fds_);
}

// What was asked while it was away is sent again after a long pause only.
TEST_F(ResolverTest, AServerThatIsBackAnswersAllOnceOneAsksAgain) {
  answer_.silent = true;
  Lookup first(loop_, resolver_.Lookup("back.example", Family::kV4));
  Lookup other_family(loop_, resolver_.Lookup("back.example", Family::kV6));
  EXPECT_TRUE(RunUntil(loop_, [&] { return asked_.size() == 2; }));
  answer_.silent = false;
  answer_.addresses = {A("192.0.2.1")};
  time_.Advance(std::chrono::milliseconds(100));
  Lookup second(loop_, resolver_.Lookup("back.example", Family::kV4));
  Lookup third(loop_, resolver_.Lookup("back.example", Family::kV4));
  EXPECT_TRUE(RunUntil(
      loop_, [&] { return first.ended() && second.ended() && third.ended(); }));
  // It has answered before it would be asked for the third.
  time_.Advance(std::chrono::milliseconds(100));
  loop_.poll();
  EXPECT_EQ(asked_.size(), 3u);
  EXPECT_FALSE(other_family.ended());
  for (Lookup* lookup : {&first, &second, &third}) {
    if (lookup->ended()) EXPECT_EQ(lookup->value(), Addresses{A("192.0.2.1")});
    lookup->Cancel();
  }
  other_family.Cancel();
  loop_.poll();
}

// The question that it shares was sent while the server was away, and nobody
// comes after it.
TEST_F(ResolverTest, WhoeverSharesAQuestionIsAskedForALittleLater) {
  for (const Family family : {Family::kV4, Family::kV6}) {
    asked_.clear();
    answer_ = {};
    answer_.silent = true;
    Lookup first(loop_, resolver_.Lookup("back.example", family));
    EXPECT_TRUE(RunUntil(loop_, [&] { return asked_.size() == 1; }));
    answer_.silent = false;
    answer_.addresses = {family == Family::kV4 ? A("192.0.2.1")
                                               : A("2001:db8::1")};
    time_.Advance(std::chrono::milliseconds(98));
    Lookup second(loop_, resolver_.Lookup("back.example", family));
    time_.Advance(std::chrono::milliseconds(1));
    Lookup third(loop_, resolver_.Lookup("back.example", family));
    loop_.poll();
    EXPECT_EQ(asked_.size(), 1u);
    time_.Advance(std::chrono::milliseconds(1));
    EXPECT_TRUE(RunUntil(loop_, [&] {
      return first.ended() && second.ended() && third.ended();
    }));
    EXPECT_EQ(asked_.size(), 2u);
    for (Lookup* lookup : {&first, &second, &third}) {
      if (lookup->ended()) EXPECT_EQ(lookup->value(), answer_.addresses);
      lookup->Cancel();
    }
    loop_.poll();
  }
}

// Else whoever connects, and leaves, makes a question each time, which c-ares
// sends again and again while anybody waits.
TEST_F(ResolverTest, ThoseWhoLeaveLeaveFewQuestions) {
  answer_.silent = true;
  Lookup stays(loop_, resolver_.Lookup("busy.example", Family::kV4));
  EXPECT_TRUE(RunUntil(loop_, [&] { return asked_.size() == 1; }));
  for (size_t tenth = 1; tenth <= 10; ++tenth) {
    for (int i = 0; i < 100; ++i) {
      Lookup leaves(loop_, resolver_.Lookup("busy.example", Family::kV4));
      loop_.poll();
      leaves.Cancel();
      loop_.poll();
      EXPECT_TRUE(leaves.cancelled());
    }
    EXPECT_TRUE(RunUntil(loop_, [&] { return asked_.size() >= tenth; }));
    EXPECT_EQ(asked_.size(), tenth);
    EXPECT_EQ(CountDescriptors(), num_fds_ + 1);
    time_.Advance(std::chrono::milliseconds(100));
  }
  EXPECT_FALSE(stays.ended());
  stays.Cancel();
  loop_.poll();
}

// One failure is no answer for those who have asked since.
TEST_F(ResolverTest, AFailureIsThatOfItsQuestion) {
  answer_.silent = true;
  Lookup first(loop_, resolver_.Lookup("fails.example", Family::kV4));
  EXPECT_TRUE(RunUntil(loop_, [&] { return asked_.size() == 1; }));
  answer_.silent = false;
  answer_.rcode = 2;
  time_.Advance(std::chrono::milliseconds(100));
  Lookup second(loop_, resolver_.Lookup("fails.example", Family::kV4));
  EXPECT_TRUE(RunUntil(loop_, [&] { return second.ended(); }));
  EXPECT_EQ(DetailOf(second.status()).reason, Reason::kDnsFailure);
  EXPECT_FALSE(first.ended());
  first.Cancel();
  loop_.poll();
}

// Nor for those who ask right after it, while somebody else keeps the sockets.
TEST_F(ResolverTest, AQuestionThatHasFailedIsAskedAgain) {
  answer_.silent = true;
  Lookup other_family(loop_, resolver_.Lookup("again.example", Family::kV6));
  EXPECT_TRUE(RunUntil(loop_, [&] { return asked_.size() == 1; }));
  answer_.silent = false;
  answer_.rcode = 2;
  EXPECT_EQ(DetailOf(LookUp("again.example", Family::kV4)).reason,
            Reason::kDnsFailure);
  answer_.rcode = 0;
  answer_.addresses = {A("192.0.2.1")};
  EXPECT_TRUE(LookUp("again.example", Family::kV4).ok());
  EXPECT_EQ(addresses_, Addresses{A("192.0.2.1")});
  EXPECT_FALSE(other_family.ended());
  other_family.Cancel();
  loop_.poll();
}

// The bytes of the heap that are in use.
size_t BytesInUse() {
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  return __sanitizer_get_current_allocated_bytes();
#else
  return mallinfo2().uordblks;
#endif
}

// They come from whoever may name an upstream.
TEST_F(ResolverTest, NamesThatWereLookedUpTakeNoMemory) {
  constexpr size_t kLookups = 500;
  constexpr size_t kBytes = 2000;
  const auto look_up = [this](size_t i) {
    std::string name = std::to_string(i);
    name.resize(kBytes, 'a');  // No name of the DNS: nobody is asked.
    EXPECT_FALSE(LookUp(name, Family::kV4).ok());
  };
  for (size_t i = 0; i < 10; ++i) look_up(i);
  const size_t before = BytesInUse();
  ASSERT_GT(before, 0u);
  for (size_t i = 10; i < 10 + kLookups; ++i) look_up(i);
  EXPECT_LT(BytesInUse(), before + kLookups * kBytes / 4);
  EXPECT_TRUE(asked_.empty());
}

TEST_F(ResolverTest, WhoeverComesASecondLaterHasASocketOfItsOwn) {
  answer_.silent = true;
  Lookup first(loop_, resolver_.Lookup("late.example", Family::kV4));
  EXPECT_TRUE(RunUntil(loop_, [&] { return asked_.size() == 1; }));
  time_.Advance(std::chrono::milliseconds(999));
  Lookup second(loop_, resolver_.Lookup("late.example", Family::kV4));
  EXPECT_TRUE(RunUntil(loop_, [&] { return asked_.size() == 2; }));
  EXPECT_EQ(CountDescriptors(), num_fds_ + 1);
  time_.Advance(std::chrono::milliseconds(1));
  Lookup third(loop_, resolver_.Lookup("late.example", Family::kV4));
  EXPECT_TRUE(RunUntil(loop_, [&] { return asked_.size() == 3; }));
  EXPECT_EQ(CountDescriptors(), num_fds_ + 2);
  // A third one of the name while the first is still waited for would be
  // one for each second of that.
  time_.Advance(std::chrono::seconds(1));
  Lookup fourth(loop_, resolver_.Lookup("late.example", Family::kV4));
  EXPECT_TRUE(RunUntil(loop_, [&] { return asked_.size() == 4; }));
  EXPECT_EQ(CountDescriptors(), num_fds_ + 2);
  for (Lookup* lookup : {&first, &second}) {
    EXPECT_FALSE(lookup->ended());
    lookup->Cancel();
  }
  loop_.poll();
  EXPECT_EQ(CountDescriptors(), num_fds_ + 1);
  Lookup fifth(loop_, resolver_.Lookup("late.example", Family::kV4));
  EXPECT_TRUE(RunUntil(loop_, [&] { return asked_.size() == 5; }));
  EXPECT_EQ(CountDescriptors(), num_fds_ + 2);
  for (Lookup* lookup : {&third, &fourth, &fifth}) {
    EXPECT_FALSE(lookup->ended());
    lookup->Cancel();
  }
  loop_.poll();
}

TEST_F(ResolverTest, AllWhoWaitAreGivenTheAnswerAndTheNextOneAsksAgain) {
  answer_.addresses = {A("192.0.2.1")};
  Lookup first(loop_, resolver_.Lookup("one.example", Family::kV4));
  Lookup second(loop_, resolver_.Lookup("one.example", Family::kV4));
  EXPECT_TRUE(RunUntil(loop_, [&] { return first.ended() && second.ended(); }));
  EXPECT_EQ(first.value(), Addresses{A("192.0.2.1")});
  EXPECT_EQ(second.value(), Addresses{A("192.0.2.1")});
  EXPECT_EQ(asked_.size(), 1u);
  answer_.addresses = {A("192.0.2.2")};
  EXPECT_TRUE(LookUp("one.example", Family::kV4).ok());
  EXPECT_EQ(addresses_, Addresses{A("192.0.2.2")});
  EXPECT_EQ(asked_.size(), 2u);
  answer_.rcode = 2;
  Lookup third(loop_, resolver_.Lookup("one.example", Family::kV4));
  Lookup fourth(loop_, resolver_.Lookup("one.example", Family::kV4));
  EXPECT_TRUE(RunUntil(loop_, [&] { return third.ended() && fourth.ended(); }));
  EXPECT_EQ(DetailOf(third.status()).reason, Reason::kDnsFailure);
  EXPECT_EQ(DetailOf(fourth.status()).reason, Reason::kDnsFailure);
}

TEST_F(ResolverTest, ATruncatedAnswerIsAskedForByTcp) {
  answer_.truncated = true;
  const absl::Status status = LookUp("long.example", Family::kV4);
  EXPECT_EQ(DetailOf(status).reason, Reason::kDnsFailure);
  EXPECT_NE(std::string(status.message()).find("contact"), std::string::npos)
      << status;
}

// The first socket of a name stands for the connection that waits for it;
// others are of a part that all lookups share.
TEST_F(ResolverTest, AFurtherSocketIsOneOfThePartOfLookups) {
  DescriptorPart& part = DescriptorPart::OfLookups();
  const auto take_all = [&part] {
    int count = 0;
    while (part.Take()) ++count;
    return count;
  };
  const int all = take_all();
  answer_.truncated = true;
  absl::Status status = LookUp("long.example", Family::kV4);
  EXPECT_EQ(DetailOf(status).error_number, EMFILE);
  EXPECT_NE(std::string(status.message()).find("too many lookups at a time"),
            std::string::npos)
      << status;
  answer_.truncated = false;
  answer_.addresses = {A("192.0.2.1")};
  EXPECT_TRUE(LookUp("short.example", Family::kV4).ok());
  // What was taken is given back.
  part.GiveBack(all);
  answer_.truncated = true;
  for (int i = 0; i < 2 * all; ++i) {
    status = LookUp("long.example", Family::kV4);
    EXPECT_EQ(DetailOf(status).error_number, 0);
  }
  EXPECT_EQ(take_all(), all);
  part.GiveBack(all);
}

TEST_F(ResolverTest, SocketsAreClosedAfterEachFailure) {
  answer_.rcode = 2;
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(LookUp("broken.example", Family::kV6).ok());
    EXPECT_EQ(CountDescriptors(), num_fds_);
  }
}

TEST(Resolver, IsOneForALoop) {
  asio::io_context loop(1);
  Resolver& resolver = Resolver::Of(loop);
  EXPECT_EQ(&resolver, &Resolver::Of(loop));
  Lookup lookup(loop, resolver.Lookup("localhost", Family::kV4));
  loop.run();
  ASSERT_TRUE(lookup.ended());
  EXPECT_EQ(lookup.value(), Addresses{A("127.0.0.1")});
}

TEST(Resolver, AnAbandonedLookupHoldsUpNoExit) {
  asio::io_context loop(1);
  // Bound and never read: the questions get no answer.
  asio::ip::udp::socket silent(loop, {asio::ip::address_v4::loopback(), 0});
  CaresResolver::Options options;
  options.servers =
      "127.0.0.1:" + std::to_string(silent.local_endpoint().port());
  CaresResolver resolver(options);
  Lookup lookup(loop, resolver.Lookup("silent.example", Family::kV4));
  EXPECT_TRUE(RunUntil(loop, [&] { return silent.available() > 0; }));
  lookup.Cancel();
  const auto start = std::chrono::steady_clock::now();
  loop.run();  // Returns, since there is nothing left to do.
  EXPECT_TRUE(lookup.cancelled());
  // c-ares itself would have waited for seconds.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

}  // namespace
}  // namespace portreeve
