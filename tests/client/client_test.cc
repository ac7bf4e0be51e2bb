// The client library against a gRPC server that plays the daemon.
#include "client/client.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "client/canceller.h"
#include "client/error.h"
#include "tests/client/fake_daemon.h"
#include "tests/testing/certificates.h"

namespace portreeve::client {
namespace {

namespace testing = portreeve::testing;

class ClientTest : public ::testing::Test {
 protected:
  ~ClientTest() override { end_.Notify(); }

  // For answers that shall not come while the test runs.
  void AwaitEnd() { end_.WaitForNotification(); }

 private:
  absl::Notification end_;  // Outlives the daemon's threads.

 protected:
  FakeDaemon daemon_;
  Client client_ = *Client::ForAddress(daemon_.address());
};

TEST_F(ClientTest, SendsTheRequestAndGivesTheAnswer) {
  daemon_.create_listener.set_answer(
      [](const v1::CreateListenerRequest& request, v1::Listener& listener) {
        listener.set_name("listeners/" + request.listener_id());
        return grpc::Status::OK;
      });
  v1::CreateListenerRequest request;
  request.set_listener_id("web");
  request.mutable_spec()->set_max_connections(0);
  const auto listener = client_.CreateListener(request);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_EQ(listener->name(), "listeners/web");
  ASSERT_EQ(daemon_.create_listener.requests().size(), 1u);
  EXPECT_EQ(daemon_.create_listener.requests()[0].SerializeAsString(),
            request.SerializeAsString());
}

TEST_F(ClientTest, NeedsNoWorkingDirectory) {
  const auto before = std::filesystem::current_path();
  std::string gone = ::testing::TempDir() + "/gone-XXXXXX";
  ASSERT_NE(mkdtemp(gone.data()), nullptr);
  std::filesystem::current_path(gone);
  std::filesystem::remove(gone);
  EXPECT_TRUE(Client::ForAddress(daemon_.address()).ok());
  EXPECT_TRUE(Client::ForAddress("unix:relative").ok());
  std::filesystem::current_path(before);
}

TEST_F(ClientTest, KeepsTheDetailsOfAnError) {
  daemon_.get_listener.set_answer([](const auto&, auto&) {
    return Refusal(grpc::StatusCode::INVALID_ARGUMENT, "wrong", "INVALID_FIELD",
                   {{"errno", "22"}, {"address", "tcp:h:1"}},
                   {{"name", "is no name"}});
  });
  const absl::Status status = client_.GetListener("x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "wrong");
  const ErrorDetails expected = {
      .reason = "INVALID_FIELD",
      .metadata = {{"errno", "22"}, {"address", "tcp:h:1"}},
      .field_violations = {{"name", "is no name"}}};
  EXPECT_EQ(DetailsOf(status), expected);
  EXPECT_FALSE(IsUnreachable(status));
}

TEST_F(ClientTest, AnErrorWithoutDetailsHasNone) {
  const absl::Status status = client_.DeleteListener("listeners/x");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(DetailsOf(status), ErrorDetails());
}

TEST_F(ClientTest, EndsAtItsTimeoutWhileTheDaemonGoesOn) {
  daemon_.close_finished.set_answer([this](const auto&, auto&) {
    AwaitEnd();
    return grpc::Status::OK;
  });
  const absl::Status status =
      client_.CloseFinished({}, {.timeout = absl::Milliseconds(20)}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ClientTest, ListsEveryPage) {
  daemon_.list_listeners.set_answer([](const v1::ListListenersRequest& request,
                                       v1::ListListenersResponse& page) {
    const std::string& token = request.page_token();
    page.set_revision(7);
    page.set_instance_id("i");
    page.add_listeners()->set_name("listeners/" + token + "x");
    page.set_next_page_token(token.size() < 2 ? token + "a" : "");
    return grpc::Status::OK;
  });
  const auto all = client_.ListAllListeners();
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->listeners_size(), 3);
  EXPECT_EQ(all->listeners(0).name(), "listeners/x");
  EXPECT_EQ(all->listeners(2).name(), "listeners/aax");
  EXPECT_EQ(all->revision(), 7);
  EXPECT_EQ(all->next_page_token(), "");
}

TEST_F(ClientTest, ListsEveryPageOfConnectionsOfAListener) {
  daemon_.list_connections.set_answer(
      [](const v1::ListConnectionsRequest& request,
         v1::ListConnectionsResponse& page) {
        page.add_connections()->set_listener(request.listener());
        page.set_next_page_token(request.page_token().empty() ? "2" : "");
        return grpc::Status::OK;
      });
  const auto all = client_.ListAllConnections("listeners/web");
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->connections_size(), 2);
  EXPECT_EQ(all->connections(1).listener(), "listeners/web");
}

TEST_F(ClientTest, AnErrorOnALaterPageIsTheAnswer) {
  daemon_.list_connections.set_answer(
      [](const v1::ListConnectionsRequest& request,
         v1::ListConnectionsResponse& page) {
        if (!request.page_token().empty()) {
          return Refusal(grpc::StatusCode::NOT_FOUND, "gone", "NOT_FOUND");
        }
        page.set_next_page_token("2");
        return grpc::Status::OK;
      });
  EXPECT_EQ(
      DetailsOf(client_.ListAllConnections("listeners/web").status()).reason,
      "NOT_FOUND");
}

// Pages that lead back, to themselves or round, or on and on with nothing.
TEST_F(ClientTest, PagesWithoutEndAreAnError) {
  using NextToken = std::function<std::string(int)>;
  const NextToken kNextTokens[] = {
      [](int) { return "same"; },
      [](int page) { return std::to_string(page % 3); },
      [](int page) { return std::to_string(page); },
  };
  for (const NextToken& next : kNextTokens) {
    // So that a client that does not end fails, and does not hang.
    constexpr int kMostPages = 1000;
    int count = 0;
    const auto answer = [&](const auto&, auto& page) {
      page.set_next_page_token(count < kMostPages ? next(count) : "");
      ++count;
      return grpc::Status::OK;
    };
    daemon_.list_listeners.set_answer(answer);
    EXPECT_EQ(client_.ListAllListeners().status().code(),
              absl::StatusCode::kInternal);
    EXPECT_LT(count, kMostPages);
    count = 0;
    daemon_.list_connections.set_answer(answer);
    const absl::Status status = client_.ListAllConnections("").status();
    EXPECT_EQ(status,
              absl::InternalError("the daemon's list has no end: its pages "
                                  "lead back to earlier ones, or hold "
                                  "nothing"));
    EXPECT_LT(count, kMostPages);
  }
}

TEST_F(ClientTest, AFewEmptyPagesAreNoError) {
  int count = 0;
  daemon_.list_listeners.set_answer(
      [&](const auto&, v1::ListListenersResponse& page) {
        ++count;
        if (count % 100 == 0) page.add_listeners();
        page.set_next_page_token(count < 300 ? std::to_string(count) : "");
        return grpc::Status::OK;
      });
  const auto all = client_.ListAllListeners();
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->listeners_size(), 3);
}

// As many empty pages as may be, and the end.
TEST_F(ClientTest, TheLastPageMayBeOneEmptyPageMore) {
  int count = 0;
  daemon_.list_listeners.set_answer(
      [&](const auto&, v1::ListListenersResponse& page) {
        ++count;
        page.set_next_page_token(count <= 100 ? std::to_string(count) : "");
        return grpc::Status::OK;
      });
  const auto all = client_.ListAllListeners();
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->listeners_size(), 0);
  EXPECT_EQ(count, 101);
}

v1::WatchEventsResponse Burst(int64_t first, int64_t last) {
  v1::WatchEventsResponse burst;
  for (int64_t i = first; i <= last; ++i) {
    burst.add_events()->set_revision(i);
  }
  return burst;
}

TEST_F(ClientTest, WatchGivesBurstsInOrderAndThenItsEnd) {
  daemon_.watch_events.set_answer(
      [](const v1::WatchEventsRequest&, FakeDaemon::Events& events) {
        events.Write(Burst(1, 3));
        events.Write(Burst(4, 4));
        return grpc::Status::OK;
      });
  v1::WatchEventsRequest request;
  request.add_listeners("listeners/web");
  absl::StatusOr<Watch> watch = client_.WatchEvents(request);
  ASSERT_TRUE(watch.ok()) << watch.status();
  EXPECT_EQ(daemon_.watch_events.requests()[0].listeners(0), "listeners/web");
  auto events = watch->Next();
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_EQ(events->size(), 3u);
  EXPECT_EQ((*events)[2].revision(), 3);
  EXPECT_EQ(watch->Next()->at(0).revision(), 4);
  EXPECT_TRUE(watch->Next()->empty());
  EXPECT_TRUE(watch->Next()->empty());
}

TEST_F(ClientTest, WatchReturnsOnceItCountsAndIsCancelledByAnotherThread) {
  daemon_.watch_events.set_answer(
      [this](const v1::WatchEventsRequest&, FakeDaemon::Events& events) {
        events.SendInitialMetadata();
        AwaitEnd();
        return grpc::Status::OK;
      });
  absl::StatusOr<Watch> watch = client_.WatchEvents({});
  ASSERT_TRUE(watch.ok()) << watch.status();
  auto next = std::async(std::launch::async, [&] { return watch->Next(); });
  watch->Cancel();
  EXPECT_EQ(next.get().status().code(), absl::StatusCode::kCancelled);
  watch->Cancel();
  EXPECT_EQ(watch->Next().status().code(), absl::StatusCode::kCancelled);
}

TEST_F(ClientTest, WatchThatIsDroppedEnds) {
  daemon_.watch_events.set_answer(
      [this](const v1::WatchEventsRequest&, FakeDaemon::Events& events) {
        events.Write(Burst(1, 1));
        AwaitEnd();
        return grpc::Status::OK;
      });
  {
    absl::StatusOr<Watch> watch = client_.WatchEvents({});
    ASSERT_TRUE(watch.ok()) << watch.status();
  }
}

TEST_F(ClientTest, WatchThatIsRefusedNeverStarts) {
  daemon_.watch_events.set_answer(
      [](const v1::WatchEventsRequest&, FakeDaemon::Events&) {
        return Refusal(grpc::StatusCode::INVALID_ARGUMENT, "wrong",
                       "INVALID_FIELD");
      });
  EXPECT_EQ(DetailsOf(client_.WatchEvents({}).status()).reason,
            "INVALID_FIELD");
}

TEST_F(ClientTest, WatchEndsAtItsTimeout) {
  daemon_.watch_events.set_answer(
      [this](const v1::WatchEventsRequest&, FakeDaemon::Events&) {
        AwaitEnd();
        return grpc::Status::OK;
      });
  EXPECT_EQ(client_.WatchEvents({}, {.timeout = absl::Milliseconds(20)})
                .status()
                .code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST(ClientAddressTest, RefusesWhatIsNoAddress) {
  EXPECT_EQ(Client::ForAddress("nowhere").status().code(),
            absl::StatusCode::kInvalidArgument);
}

// A directory for sockets: TEST_TMPDIR is too long for their paths.
class SocketDirectory {
 public:
  SocketDirectory() { path_ = mkdtemp(name_); }
  ~SocketDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  char name_[32] = "/tmp/portreeve-test-XXXXXX";
  std::string path_;
};

absl::Status TlsError(const TlsOptions& tls) {
  return Client::ForAddress("tcp:127.0.0.1:1", tls).status();
}

void Write(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
}

TEST(ClientTlsTest, ErrorsNameTheFile) {
  const SocketDirectory directory;
  const std::string& path = directory.path();
  Write(path + "/empty", "");
  Write(path + "/broken", "-----BEGIN CERTIFICATE-----\nx\n");
  EXPECT_EQ(TlsError({.ca = path + "/none"}),
            absl::NotFoundError("the file '" + path +
                                "/none' cannot be read: No such file or "
                                "directory"));
  EXPECT_EQ(TlsError({.ca = path}).message(),
            "the file '" + path + "' cannot be read: Is a directory");
  EXPECT_EQ(
      TlsError({.ca = path + "/empty"}),
      absl::InvalidArgumentError("the file '" + path + "/empty' is empty"));
  EXPECT_EQ(TlsError({.ca = path + "/broken"}),
            absl::InvalidArgumentError("the file '" + path +
                                       "/broken' holds no certificate in PEM"));
}

TEST(ClientTlsTest, AKeyMustBeThatOfItsCertificate) {
  const SocketDirectory directory;
  const std::string& path = directory.path();
  const testing::CertificateAuthority ca("ca");
  const testing::Certificate own = ca.ForClient("me");
  Write(path + "/ca", ca.certificate());
  Write(path + "/cert", own.certificate);
  Write(path + "/key", own.key);
  Write(path + "/other", ca.ForClient("me").key);
  Write(path + "/secret", testing::Encrypted(own.key));
  TlsOptions tls = {
      .ca = path + "/ca", .certificate = path + "/cert", .key = path + "/key"};
  EXPECT_TRUE(TlsError(tls).ok()) << TlsError(tls);
  tls.key = path + "/other";
  EXPECT_EQ(TlsError(tls).message(), "the file '" + path +
                                         "/other' holds another key than that "
                                         "of '" +
                                         path + "/cert'");
  for (const char* wrong : {"/secret", "/cert"}) {
    tls.key = path + wrong;
    EXPECT_EQ(TlsError(tls).message(),
              "the file '" + tls.key +
                  "' holds no private key in PEM, or one that needs a "
                  "passphrase");
  }
}

TEST(ClientTlsTest, CertificateAndKeyGoTogether) {
  EXPECT_EQ(TlsError({.certificate = "c", .key = "k"}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(TlsError({.ca = "a", .certificate = "c"}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(TlsError({.ca = "a", .key = "k"}).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ClientAddressTest, NobodyThereIsUnreachableAtOnce) {
  const SocketDirectory directory;
  absl::StatusOr<Client> nobody =
      Client::ForAddress("unix:" + directory.path() + "/none");
  ASSERT_TRUE(nobody.ok());
  const absl::Status status = nobody->ListAllListeners().status();
  EXPECT_TRUE(IsUnreachable(status)) << status;
  EXPECT_TRUE(IsUnreachable(nobody->WatchEvents({}).status()));
}

TEST(ClientAddressTest, ReachesUnixSocketsWhosePathMeansSomethingInUris) {
  const SocketDirectory directory;
  FakeDaemon daemon("unix:" + directory.path() + "/a%20%25b%3F");
  daemon.is_closed.set_answer(
      [](const v1::IsClosedRequest&, v1::IsClosedResponse& response) {
        response.set_is_closed(true);
        return grpc::Status::OK;
      });
  absl::StatusOr<Client> client =
      Client::ForAddress("unix:" + directory.path() + "/a %b?");
  ASSERT_TRUE(client.ok());
  const absl::StatusOr<bool> closed = client->IsClosed("listeners/web");
  ASSERT_TRUE(closed.ok()) << closed.status();
  EXPECT_TRUE(*closed);
}

enum class Repeated { kNever, kIfMoved, kIfLost };

// How often `call` is made, which is answered by `method` with what the daemon,
// or gRPC in its place, may say.
template <typename Request, typename Response>
void ExpectRepeated(
    Repeated repeated, FakeMethod<Request, Response>& method,
    const std::function<absl::Status()>& call,
    const std::function<void(Response&)>& answer = [](Response&) {}) {
  const struct {
    grpc::Status status;
    bool is_repeated;
  } kCases[] = {
      {Refusal(grpc::StatusCode::UNAVAILABLE, "gone", "MOVED"),
       repeated != Repeated::kNever},
      {grpc::Status::CANCELLED, repeated == Repeated::kIfLost},
      {Refusal(grpc::StatusCode::CANCELLED, "", "CONNECT_INTERRUPTED"), false},
      {{grpc::StatusCode::UNAVAILABLE, "refused"}, false},
      {Refusal(grpc::StatusCode::UNAVAILABLE, "ends", "SHUTTING_DOWN"), false},
  };
  for (const auto& one : kCases) {
    for (const int num_refusals : {1, 2}) {
      const size_t before = method.requests().size();
      method.set_answer([&](const Request&, Response& response) {
        if (method.requests().size() <= before + num_refusals) {
          return one.status;
        }
        answer(response);
        return grpc::Status::OK;
      });
      const absl::Status status = call();
      const size_t expected = one.is_repeated ? 2 : 1;
      EXPECT_EQ(method.requests().size(), before + expected)
          << one.status.error_message();
      EXPECT_EQ(status.ok(), one.is_repeated && num_refusals == 1) << status;
      if (status.ok()) continue;
      EXPECT_EQ(static_cast<int>(status.code()), one.status.error_code());
    }
  }
}

TEST_F(ClientTest, WhatAnUpgradeHasCrossedIsCalledOnceMore) {
  const auto kIfMoved = Repeated::kIfMoved;
  const auto kIfLost = Repeated::kIfLost;
  ExpectRepeated(kIfMoved, daemon_.create_listener,
                 [&] { return client_.CreateListener({}).status(); });
  v1::CreateListenerRequest with_id;
  with_id.set_request_id("id");
  ExpectRepeated(kIfLost, daemon_.create_listener,
                 [&] { return client_.CreateListener(with_id).status(); });
  ExpectRepeated(kIfLost, daemon_.get_listener,
                 [&] { return client_.GetListener("l").status(); });
  ExpectRepeated(kIfLost, daemon_.list_listeners,
                 [&] { return client_.ListAllListeners().status(); });
  ExpectRepeated(kIfMoved, daemon_.update_listener,
                 [&] { return client_.UpdateListener({}).status(); });
  ExpectRepeated(kIfLost, daemon_.close_listener,
                 [&] { return client_.CloseListener({}).status(); });
  ExpectRepeated(kIfLost, daemon_.is_closed,
                 [&] { return client_.IsClosed("l").status(); });
  ExpectRepeated(kIfLost, daemon_.close_finished,
                 [&] { return client_.CloseFinished({}).status(); });
  ExpectRepeated(kIfMoved, daemon_.delete_listener,
                 [&] { return client_.DeleteListener("l"); });
  ExpectRepeated(kIfLost, daemon_.list_connections,
                 [&] { return client_.ListAllConnections("").status(); });
  ExpectRepeated(kIfLost, daemon_.get_connection,
                 [&] { return client_.GetConnection("c").status(); });
  ExpectRepeated(kIfLost, daemon_.close_connection,
                 [&] { return client_.CloseConnection({}).status(); });
  ExpectRepeated(kIfLost, daemon_.get_daemon,
                 [&] { return client_.GetDaemon().status(); });
  ExpectRepeated(Repeated::kNever, daemon_.upgrade_daemon,
                 [&] { return client_.UpgradeDaemon({}).status(); });
}

TEST_F(ClientTest, WhatAnUpgradeHasCrossedIsStartedOnceMore) {
  const auto start = [](auto& stream) { stream.SendInitialMetadata(); };
  ExpectRepeated<v1::WatchEventsRequest, FakeDaemon::Events>(
      Repeated::kIfLost, daemon_.watch_events,
      [&] { return client_.WatchEvents({}).status(); }, start);
  ExpectRepeated<v1::WatchStatsRequest, FakeDaemon::Stats>(
      Repeated::kIfLost, daemon_.watch_stats,
      [&] { return client_.WatchStats({}).status(); }, start);
  ExpectRepeated<v1::HandleRequest, FakeDaemon::Offers>(
      Repeated::kIfLost, daemon_.handle,
      [&] { return client_.Handle("l").status(); }, start);
  const auto open = [](FakeDaemon::Frames& frames) {
    v1::ServerFrame opened;
    opened.mutable_opened();
    frames.Write(opened);
  };
  ExpectRepeated<v1::ClientFrame, FakeDaemon::Frames>(
      Repeated::kIfLost, daemon_.attach,
      [&] { return client_.Attach("c").status(); }, open);
  ExpectRepeated<v1::ClientFrame, FakeDaemon::Frames>(
      Repeated::kNever, daemon_.attach,
      [&] { return client_.AttachOffered("c").status(); }, open);
  ExpectRepeated<v1::ClientFrame, FakeDaemon::Frames>(
      Repeated::kIfMoved, daemon_.dial,
      [&] { return client_.Dial({}).status(); }, open);
}

// Calls that have not got as far as something that can be cancelled.
TEST_F(ClientTest, ACancellerEndsTheCallsThereAreAndThoseToCome) {
  absl::Notification asked[4];
  const auto block = [&](int i) {
    return [this, &asked, i](const auto&, auto&) {
      if (!asked[i].HasBeenNotified()) asked[i].Notify();
      AwaitEnd();
      return grpc::Status::OK;
    };
  };
  daemon_.close_finished.set_answer(block(0));
  daemon_.watch_stats.set_answer(block(1));
  daemon_.handle.set_answer(block(2));
  daemon_.attach.set_answer(block(3));
  Canceller canceller;
  const CallOptions options = {.canceller = &canceller};
  const std::function<absl::Status()> kCalls[] = {
      [&] { return client_.CloseFinished({}, options).status(); },
      [&] { return client_.WatchStats({}, options).status(); },
      [&] { return client_.Handle("listeners/a", options).status(); },
      [&] { return client_.Attach("connections/1", options).status(); }};
  std::vector<std::future<absl::Status>> running;
  for (const auto& call : kCalls) {
    running.push_back(std::async(std::launch::async, call));
  }
  for (const auto& one : asked) one.WaitForNotification();
  EXPECT_FALSE(canceller.is_cancelled());
  // A call that is over is none of its business.
  EXPECT_TRUE(absl::IsUnimplemented(client_.GetDaemon(options).status()));
  canceller.Cancel();
  EXPECT_TRUE(canceller.is_cancelled());
  for (auto& one : running) EXPECT_TRUE(absl::IsCancelled(one.get()));
  for (const auto& call : kCalls) EXPECT_TRUE(absl::IsCancelled(call()));
  canceller.Cancel();
}

TEST_F(ClientTest, ACancellerEndsAStreamThatItsStartHasGiven) {
  daemon_.watch_stats.set_answer([this](const auto&, FakeDaemon::Stats& stats) {
    stats.SendInitialMetadata();
    AwaitEnd();
    return grpc::Status::OK;
  });
  Canceller canceller;
  absl::StatusOr<StatsWatch> watch =
      client_.WatchStats({}, {.canceller = &canceller});
  ASSERT_TRUE(watch.ok()) << watch.status();
  auto next = std::async(std::launch::async, [&] { return watch->Next(); });
  canceller.Cancel();
  EXPECT_TRUE(absl::IsCancelled(next.get().status()));
}

}  // namespace
}  // namespace portreeve::client
