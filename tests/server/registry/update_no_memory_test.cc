// An update of a listener where there is no memory, once, anywhere in it.
#include <memory>
#include <new>
#include <optional>

#include "server/registry/registry.h"
#include "tests/server/registry_fixture.h"
#include "tests/testing/raw_listener.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::server {
namespace {

using testing::GiveMemoryAgain;
using testing::RawClient;
using testing::RawListener;
using testing::RefuseMemoryAfter;

class UpdateNoMemoryTest : public RegistryTest {
 protected:
  UpdateNoMemoryTest()
      : upstreams_{RawListener(loop(), Driver()),
                   RawListener(loop(), Driver())} {}
  ~UpdateNoMemoryTest() override {
    for (RawListener& upstream : upstreams_) upstream.Close();
  }

  RawClient::RunUntil Driver() {
    return [this](const auto& condition) { return RunUntil(condition); };
  }
  int PortOf(int upstream) const {
    return upstreams_[upstream].inet_address().port();
  }
  void SetUpstream(v1::ListenerSpec& spec, int upstream) const {
    auto& inet = *spec.mutable_handler()
                      ->mutable_forward()
                      ->mutable_upstream()
                      ->mutable_inet();
    inet.set_host("127.0.0.1");
    inet.set_port(PortOf(upstream));
  }

  RawListener upstreams_[2];
};

TEST_F(UpdateNoMemoryTest, AListenerDoesWhatItsSpecSays) {
  v1::CreateListenerRequest create = Request("web");
  SetUpstream(*create.mutable_spec(), 0);
  const auto listener = TryCreate(create);
  ASSERT_TRUE(listener.ok()) << listener.status();
  const auto resource = registry_->listeners().at("web");
  int now = 0;
  bool refused = true;
  int num_refused = 0;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, 2'000);
    v1::UpdateListenerRequest update;
    auto& spec = *update.mutable_listener()->mutable_spec();
    SetUpstream(spec, 1 - now);
    // What is counted of it changes, too.
    (*spec.mutable_labels())["large"] =
        std::string(static_cast<size_t>(1 + given % 60), 'x');
    update.mutable_update_mask()->add_paths("spec.handler");
    update.mutable_update_mask()->add_paths("spec.labels");
    RefuseMemoryAfter(given);
    bool updated = false;
    try {
      updated = UpdateNow(*registry_, "web", update).ok();
    } catch (const std::bad_alloc&) {
    }
    refused = GiveMemoryAgain();
    if (!updated) ++num_refused;
    EXPECT_TRUE(updated || refused);
    const int port = registry_->Get("web")
                         ->message()
                         .spec()
                         .handler()
                         .forward()
                         .upstream()
                         .inet()
                         .port();
    now = port == PortOf(0) ? 0 : 1;
    EXPECT_EQ(port, PortOf(now));
    EXPECT_EQ(registry_->ListenerMemoryUse(), resource->MemoryUse());
    {
      RawClient client = Connect(*listener);
      std::optional<RawClient> peers[2];
      RunUntil([&] {
        for (int i : {0, 1}) {
          if (!peers[i]) peers[i] = upstreams_[i].TryAccept();
        }
        return peers[0].has_value() || peers[1].has_value();
      });
      EXPECT_TRUE(peers[now].has_value());
      EXPECT_FALSE(peers[1 - now].has_value());
    }
    RunUntil([&] { return num_connections() == 0; });
    (void)TakeErrors();
    (void)TakeLog();
    if (HasFailure()) break;
  }
  EXPECT_GT(num_refused, 0);
}

}  // namespace
}  // namespace portreeve::server
