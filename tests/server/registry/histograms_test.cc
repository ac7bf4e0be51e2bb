// Which connections count in which histograms.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "server/events/connection_histograms.h"
#include "server/registry/registry.h"
#include "tests/server/fake_client_stream.h"
#include "tests/server/registry_fixture.h"
#include "tests/testing/full_unix_listener.h"
#include "tests/testing/raw_listener.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::server {
namespace {

using std::chrono::milliseconds;
using testing::FakeClientStream;
using testing::RawClient;
using testing::RawListener;

class HistogramsTest : public RegistryTest {
 protected:
  void Begin(HistogramScope scope) { registry_->CountInHistograms(scope); }

  v1::Listener CreateForward(const std::string& id, int port) {
    v1::CreateListenerRequest request = Request(id);
    SetUpstream(*request.mutable_spec(), port);
    const auto listener = TryCreate(request);
    EXPECT_TRUE(listener.ok()) << listener.status();
    return *listener;
  }
  static void SetUpstream(v1::ListenerSpec& spec, int port) {
    auto& inet = *spec.mutable_handler()
                      ->mutable_forward()
                      ->mutable_upstream()
                      ->mutable_inet();
    inet.set_host("127.0.0.1");
    inet.set_port(port);
  }
  RawListener NewUpstream() {
    return RawListener(loop(), [this](const auto& f) { return RunUntil(f); });
  }
  void Echo(const v1::Listener& listener, const std::string& data) {
    RawClient client = Connect(listener);
    EXPECT_EQ(client.Send(data), "ok");
    EXPECT_EQ(client.ReceiveExactly(data.size()), data);
    client.Close();
    AwaitNone();
  }
  void AwaitNone() {
    EXPECT_TRUE(RunUntil([this] { return num_connections() == 0; }));
  }
  // Has a client come and go, which the upstream sees.
  void GoThrough(const v1::Listener& listener, RawListener& upstream) {
    RawClient client = Connect(listener);
    RawClient server = upstream.Accept();
    client.Close();
    EXPECT_EQ(server.Receive(), "EOF");
    server.Close();
    AwaitNone();
  }
  const ConnectionHistograms& of_all() { return *registry_->histograms(); }
  const ConnectionHistograms* Of(const std::string& id) {
    return registry_->listeners().at(id)->histograms();
  }
  size_t MemoryUse(const std::string& id) {
    return registry_->listeners().at(id)->MemoryUse();
  }

  testing::TemporaryFolder folder_;
};

TEST_F(HistogramsTest, WithoutThemNothingCounts) {
  Begin(HistogramScope::kOff);
  Echo(Create("a"), "x");
  EXPECT_EQ(registry_->histograms(), nullptr);
  EXPECT_EQ(Of("a"), nullptr);
}

TEST_F(HistogramsTest, ThoseOfTheDaemonHaveAllListeners) {
  Begin(HistogramScope::kDaemon);
  Create("a");
  const size_t memory = MemoryUse("a");
  Echo(registry_->Get("a")->message(), "hello");
  Echo(Create("b"), std::string(65, 'x'));
  EXPECT_EQ(Of("a"), nullptr);
  EXPECT_EQ(of_all().duration.total(), 2);
  EXPECT_GT(of_all().duration.sum(), 0);
  EXPECT_EQ(of_all().received.counts()[0], 1);
  EXPECT_EQ(of_all().received.counts()[1], 1);
  EXPECT_EQ(of_all().received.sum(), 70);
  EXPECT_EQ(of_all().sent.sum(), 70);
  EXPECT_EQ(of_all().connect.total(), 0);
  EXPECT_EQ(MemoryUse("a"), memory);
}

TEST_F(HistogramsTest, AListenerMayHaveItsOwnToo) {
  Begin(HistogramScope::kListener);
  Echo(Create("a"), "hello");
  Echo(Create("b"), "hello world");
  EXPECT_EQ(Of("a")->received.sum(), 5);
  EXPECT_EQ(Of("b")->received.sum(), 11);
  EXPECT_EQ(of_all().received.sum(), 16);
  EXPECT_EQ(Of("a")->duration.total(), 1);
  EXPECT_EQ(of_all().duration.total(), 2);
}

// It counts in its listener's closes, too.
TEST_F(HistogramsTest, OneThatWasDroppedHasLivedForNoTime) {
  Begin(HistogramScope::kListener);
  v1::CreateListenerRequest request = Request("a");
  request.mutable_spec()->set_drop_incoming_connections(true);
  RawClient client = Connect(*TryCreate(request));
  EXPECT_EQ(client.Receive(), "EOF");
  const ListenerCounts counts = registry_->listeners().at("a")->Counts();
  EXPECT_EQ(counts.closes.total(), 1);
  EXPECT_EQ(Of("a")->duration.counts()[0], 1);
  EXPECT_EQ(of_all().duration.total(), 1);
  EXPECT_EQ(of_all().duration.sum(), 0);
  EXPECT_EQ(of_all().received.counts()[0], 1);
}

TEST_F(HistogramsTest, OneThatWasDialledHasNoListenerToCountWith) {
  Begin(HistogramScope::kDaemon);
  RawListener peer = NewUpstream();
  const auto stream = std::make_shared<FakeClientStream>(executor());
  v1::ClientFrame::Dial dial;
  auto& inet = *dial.mutable_where_to_connect()->mutable_inet();
  inet.set_host("127.0.0.1");
  inet.set_port(peer.inet_address().port());
  Start(registry_->dialler().Serve(
      stream, dial, [](const std::string&, const absl::Status&) {}));
  Settle();
  stream->Break();
  AwaitNone();
  EXPECT_EQ(registry_->dialler().closes().total(), 1);
  EXPECT_EQ(of_all().duration.total(), 0);
  peer.Close();
}

TEST_F(HistogramsTest, ConnectingTakesFromTheAcceptUntilTheUpstreamIsThere) {
  Begin(HistogramScope::kListener);
  const std::string path = folder_.File("upstream");
  testing::FullUnixListener upstream(path);
  v1::CreateListenerRequest request = Request("a");
  request.mutable_spec()
      ->mutable_handler()
      ->mutable_forward()
      ->mutable_upstream()
      ->mutable_unix_socket()
      ->set_path(path);
  RawClient client = Connect(*TryCreate(request));
  ASSERT_TRUE(RunUntil([this] { return num_connections() == 1; }));
  Settle();
  time().Advance(milliseconds(500));
  Settle();
  for (size_t i = 0; i < upstream.num_fillers(); ++i) upstream.Accept();
  EXPECT_EQ(of_all().connect.total(), 0);
  time().Advance(milliseconds(100));  // It tries again by then.
  ASSERT_TRUE(RunUntil([this] { return of_all().connect.total() == 1; }));
  EXPECT_GT(of_all().connect.sum(), 0.5);
  EXPECT_LE(of_all().connect.sum(), 0.6);
  EXPECT_EQ(of_all().connect.counts()[7], 1);  // 410 ms to 1.6 s.
  EXPECT_EQ(Of("a")->connect.counts()[7], 1);
  // It counts while it is open.
  EXPECT_EQ(of_all().duration.total(), 0);
  client.Reset();
  AwaitNone();
  EXPECT_EQ(of_all().duration.total(), 1);
}

TEST_F(HistogramsTest, WhereTheUpstreamIsNotThereThereIsNoTimeOfConnecting) {
  Begin(HistogramScope::kListener);
  RawListener upstream = NewUpstream();
  const v1::Listener listener =
      CreateForward("a", upstream.inet_address().port());
  GoThrough(listener, upstream);
  upstream.Close();
  RawClient refused = Connect(listener);
  ASSERT_TRUE(RunUntil([&] { return Of("a")->duration.total() == 2; }));
  EXPECT_EQ(Of("a")->connect.total(), 1);
  const UpstreamCounts& counts =
      registry_->listeners().at("a")->upstream_counts();
  EXPECT_EQ(counts.connects, 2);
  EXPECT_EQ(counts.errors, 1);
}

// The handler that an update brings counts where the one before did.
TEST_F(HistogramsTest, TheyOutliveAHandler) {
  Begin(HistogramScope::kListener);
  RawListener upstream = NewUpstream();
  const int port = upstream.inet_address().port();
  const v1::Listener listener = CreateForward("a", port);
  GoThrough(listener, upstream);
  v1::UpdateListenerRequest request;
  request.mutable_update_mask()->add_paths("spec.handler");
  v1::ListenerSpec& spec = *request.mutable_listener()->mutable_spec();
  spec.mutable_handler()->mutable_echo();
  ASSERT_TRUE(UpdateNow(*registry_, "a", request).ok());
  Echo(listener, "hello");
  SetUpstream(spec, port);
  ASSERT_TRUE(UpdateNow(*registry_, "a", request).ok());
  GoThrough(listener, upstream);
  EXPECT_EQ(Of("a")->connect.total(), 2);
  EXPECT_EQ(Of("a")->duration.total(), 3);
  EXPECT_EQ(Of("a")->received.sum(), 5);
  upstream.Close();
}

TEST_F(HistogramsTest, ThoseOfTheDaemonOutliveAListener) {
  Begin(HistogramScope::kListener);
  Echo(Create("a"), "hello");
  Close("a");
  Settle();
  ASSERT_TRUE(DeleteNow(*registry_, "a").ok());
  Echo(Create("a"), "again");
  EXPECT_EQ(Of("a")->received.sum(), 5);
  EXPECT_EQ(of_all().received.sum(), 10);
}

// Each listener counts against what clients can fill.
TEST_F(HistogramsTest, WhatAListenerHasIsAccountedFor) {
  Create("a");
  const size_t without = MemoryUse("a");
  Close("a");
  Settle();
  ASSERT_TRUE(DeleteNow(*registry_, "a").ok());
  Begin(HistogramScope::kListener);
  Create("a");
  EXPECT_EQ(MemoryUse("a"), without + sizeof(ConnectionHistograms));
  EXPECT_LE(sizeof(ConnectionHistograms), 614u);  // 0.6 KiB.
}

}  // namespace
}  // namespace portreeve::server
