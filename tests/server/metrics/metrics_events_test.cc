// What a scrape counts is what a watcher of the events counts, whatever becomes
// of the connections.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "server/api/names.h"
#include "server/events/event_encoding.h"
#include "server/remote/claim.h"
#include "server/remote/worker_pool.h"
#include "tests/server/fake_client_stream.h"
#include "tests/server/metrics/metrics_fixture.h"
#include "tests/testing/raw_listener.h"

namespace portreeve::server {
namespace {

using testing::FakeClientStream;
using testing::RawClient;
using testing::RawListener;

// Counts what is told of connections, as somebody who watches the events would.
class Watcher {
 public:
  void See(const v1::Event& event) {
    const std::string kind =
        Lower(v1::EventKind_Name(KindOf(event)), "EVENT_KIND_");
    ++values_[absl::StrCat("events_total{kind=\"", kind, "\"}")];
    if (event.has_connection_accepted()) {
      const v1::Connection& connection =
          event.connection_accepted().connection();
      if (connection.listener().empty()) {
        ++values_["dialled_total"];
      } else {
        ++values_[Of(connection, "accepted_total")];
      }
    } else if (event.has_connection_dropped()) {
      const v1::Connection& connection =
          event.connection_dropped().connection();
      ++values_[Of(connection, "accepted_total")];
      ++values_[Of(connection, "dropped_total")];
      SeeEnd(connection);
    } else if (event.has_connection_closed()) {
      SeeEnd(event.connection_closed().connection());
    } else if (event.has_handler_error()) {
      ++values_[absl::StrCat("listener_handler_errors_total{listener=\"",
                             Id(event.handler_error().listener()), "\"}")];
    }
  }

  // By series.
  const std::map<std::string, double>& values() const { return values_; }

 private:
  static std::string Lower(absl::string_view name, absl::string_view prefix) {
    return absl::AsciiStrToLower(absl::StripPrefix(name, prefix));
  }
  static std::string Id(const std::string& name) {
    return std::string(absl::StripPrefix(name, "listeners/"));
  }
  static std::string Of(const v1::Connection& connection,
                        const std::string& metric) {
    return absl::StrCat("listener_", metric, "{listener=\"",
                        Id(connection.listener()), "\"}");
  }
  void SeeEnd(const v1::Connection& connection) {
    const std::string reason =
        Lower(v1::CloseReason_Name(connection.close_reason()), "CLOSE_REASON_");
    if (connection.listener().empty()) {
      ++values_[absl::StrCat("dialled_closed_total{reason=\"", reason, "\"}")];
      return;
    }
    ++values_[absl::StrCat("listener_connections_closed_total{listener=\"",
                           Id(connection.listener()), "\",reason=\"", reason,
                           "\"}")];
    if (connection.has_failure()) {
      ++values_[absl::StrCat("upstream_connect_errors_total{listener=\"",
                             Id(connection.listener()), "\",reason=\"",
                             Lower(connection.failure().reason(), ""), "\"}")];
    }
    values_[Of(connection, "received_bytes_total")] +=
        static_cast<double>(connection.bytes_received());
    values_[Of(connection, "sent_bytes_total")] +=
        static_cast<double>(connection.bytes_sent());
    SeeInHistograms(connection);
  }

  void SeeInHistograms(const v1::Connection& connection) {
    const std::string listener =
        absl::StrCat("{listener=\"", Id(connection.listener()), "\"");
    ++values_[absl::StrCat("connection_duration_seconds_count", listener, "}")];
    for (const auto& [direction, bytes] :
         {std::pair("received", connection.bytes_received()),
          {"sent", connection.bytes_sent()}}) {
      const std::string labels =
          absl::StrCat(listener, ",direction=\"", direction, "\"");
      ++values_[absl::StrCat("connection_bytes_count", labels, "}")];
      values_[absl::StrCat("connection_bytes_sum", labels, "}")] +=
          static_cast<double>(bytes);
      values_[absl::StrCat("connection_bytes_bucket", labels, ",le=\"64\"}")] +=
          bytes <= 64 ? 1 : 0;
    }
    if (!connection.has_upstream() || connection.has_failure()) return;
    ++values_[absl::StrCat("upstream_connect_duration_seconds_count", listener,
                           "}")];
  }

  std::map<std::string, double> values_;
};

// A client that takes what it is offered, and raises at every third.
class RaisingWorker final : public Worker {
 public:
  explicit RaisingWorker(Registry& registry) : registry_(registry) {}

  void Offer(const v1::Connection& connection) override {
    offered_.push_back(connection.name());
  }
  void AskForVerdict(const v1::HandleResponse::HandlerError&) override {}
  void Dismiss() override {}

  // Deals with what was offered since the last call.
  void Work() {
    const auto offered = std::exchange(offered_, {});
    for (const std::string& name : offered) {
      const auto number = ParseConnectionName(name, "name");
      auto live = registry_.Attach(*number);
      if (!live.ok()) continue;
      const bool raises = ++num_taken_ % 3 == 0;
      (*live)->facts.claim->End(
          raises ? std::make_exception_ptr(HandlerRaised("no")) : nullptr);
    }
  }

 private:
  Registry& registry_;
  std::vector<std::string> offered_;
  int num_taken_ = 0;
};

class MetricsEventsTest : public MetricsTest {
 protected:
  v1::Listener CreateForward(const std::string& id, int port) {
    v1::CreateListenerRequest request = Request(id);
    auto& upstream = *request.mutable_spec()
                          ->mutable_handler()
                          ->mutable_forward()
                          ->mutable_upstream()
                          ->mutable_inet();
    upstream.set_host("127.0.0.1");
    upstream.set_port(port);
    return *TryCreate(request);
  }
  v1::Listener CreateRemote() {
    v1::CreateListenerRequest request = Request("remote");
    v1::ListenerSpec& spec = *request.mutable_spec();
    spec.mutable_handler()->mutable_remote();
    spec.set_on_handler_error(v1::ON_HANDLER_ERROR_IGNORE);
    return *TryCreate(request);
  }
  v1::Listener CreateDropping() {
    v1::CreateListenerRequest request = Request("dropping");
    request.mutable_spec()->set_drop_incoming_connections(true);
    return *TryCreate(request);
  }
  v1::Listener CreateNarrow() {
    v1::CreateListenerRequest request = Request("narrow");
    request.mutable_spec()->set_max_connections(1);
    return *TryCreate(request);
  }

  void See() {
    for (const v1::Event& event : TakeEvents()) watcher_.See(event);
  }
  void AwaitNone() {
    RunUntil([this] { return num_connections() == 0; });
    Settle();
  }
  std::shared_ptr<FakeClientStream> Dial(const RawListener& listener) {
    v1::ClientFrame::Dial request;
    auto& inet = *request.mutable_where_to_connect()->mutable_inet();
    inet.set_host("127.0.0.1");
    inet.set_port(listener.inet_address().port());
    const auto stream = std::make_shared<FakeClientStream>(executor());
    Start(registry_->dialler().Serve(
        stream, request, [](const std::string&, const absl::Status&) {}));
    return stream;
  }
  // One dialled connection, from its beginning to its end.
  void DialAndHangUp(RawListener& listener) {
    const auto stream = Dial(listener);
    RawClient peer = listener.Accept();
    v1::ClientFrame done;
    done.mutable_done();
    stream->Send(done);
    EXPECT_EQ(peer.Receive(), "EOF");
    peer.Close();
    AwaitNone();
  }

  Watcher watcher_;
};

// Gives the names of the metrics in a text.
std::set<std::string> NamesIn(const std::string& text) {
  std::set<std::string> names;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::ConsumePrefix(&line, "# TYPE ")) continue;
    names.emplace(line.substr(0, line.find(' ')));
  }
  return names;
}

std::string AllMetrics() {
  std::ifstream file("tests/server/metrics/all_metrics.prom");
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(MetricsEventsTest, CountersAreWhatAWatcherCounts) {
  constexpr int kRounds = 1000;  // Of ten connections, and one that is dialled.
  RequestCounts requests({"/portreeve.v1.DaemonService/GetDaemon"});
  requests.Count(0, 0, Duration(1));
  MetricsSource::Options options;
  options.max_listeners = 6;
  options.histograms_of_listeners = true;
  registry_->CountInHistograms(HistogramScope::kListener);
  options.requests = &requests;
  options.access_log = [] { return AccessLogValues(); };
  Begin(std::move(options));
  RawListener upstream(loop(), [this](const auto& f) { return RunUntil(f); });
  const v1::Listener echo = Create("echo");
  const v1::Listener forward =
      CreateForward("forward", upstream.inet_address().port());
  const v1::Listener dropping = CreateDropping();
  const v1::Listener free = Create("free");
  Delete("free");
  const v1::Listener vain =
      CreateForward("vain", free.status().listening_on().inet().port());
  const v1::Listener narrow = CreateNarrow();
  const v1::Listener remote = CreateRemote();
  RaisingWorker worker(*registry_);
  WorkerPool& pool = registry_->listeners().at("remote")->workers();
  const int64_t number = pool.Join(worker);
  for (int round = 0; round < kRounds; ++round) {
    RawClient reset = Connect(echo);
    EXPECT_EQ(reset.Send("reset"), "ok");
    EXPECT_EQ(reset.ReceiveExactly(5), "reset");
    reset.Reset();
    RawClient clean = Connect(echo);
    EXPECT_EQ(clean.Send("clean"), "ok");
    EXPECT_EQ(clean.ReceiveExactly(5), "clean");
    clean.Close();
    RawClient called = Connect(echo);
    EXPECT_EQ(called.Send("x"), "ok");
    EXPECT_EQ(called.Receive(), "x");
    (void)registry_->CloseConnection(
        registry_->connections().entries().rbegin()->first,
        ExistingConnections::kReset);
    RawClient forwarded = Connect(forward);
    EXPECT_EQ(forwarded.Send("up"), "ok");
    RawClient server = upstream.Accept();
    EXPECT_EQ(server.ReceiveExactly(2), "up");
    server.Close();
    RawClient dropped = Connect(dropping);
    RawClient unreached = Connect(vain);
    RawClient first = Connect(narrow);
    RawClient second = Connect(narrow);
    first.Close();
    second.Close();
    RawClient taken = Connect(remote);
    RawClient also_taken = Connect(remote);
    RunUntil([&] {
      Settle();
      worker.Work();
      Settle();
      return registry_->listeners().at("remote")->Counts().closes.total() ==
             2 * (round + 1);
    });
    forwarded.Close();
    AwaitNone();
    DialAndHangUp(upstream);
    See();
  }
  pool.Leave(number);
  upstream.Close();
  const Scraped scraped = Scrape();
  See();
  EXPECT_EQ(scraped.SumOf("listener_accepted_total"), 10 * kRounds);
  EXPECT_EQ(scraped.SumOf("listener_connections_closed_total"), 10 * kRounds);
  EXPECT_EQ(scraped.SumOf("listener_connections"), 0);
  EXPECT_EQ(scraped.SumOf("connection_duration_seconds_count"), 10 * kRounds);
  EXPECT_EQ(registry_->histograms()->duration.total(), 10 * kRounds);
  EXPECT_EQ(registry_->histograms()->connect.total(), kRounds);
  EXPECT_EQ(scraped.Get("dialled_total"), kRounds);
  EXPECT_EQ(scraped.Get("dialled_connections"), 0);
  for (const auto& [series, value] : watcher_.values()) {
    EXPECT_EQ(scraped.Get(series), value) << series;
  }
  EXPECT_GE(watcher_.values().size(), 30u);
  // All that is documented was there, and nothing else.
  EXPECT_EQ(NamesIn(scraped.text()), NamesIn(AllMetrics()));
  TakeErrors();
  TakeLog();
}

}  // namespace
}  // namespace portreeve::server
