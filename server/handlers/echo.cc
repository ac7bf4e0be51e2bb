#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "server/handlers/handlers.h"
#include "server/handlers/pumped_connection.h"

namespace portreeve::server {
namespace {

class EchoConnection final : public PumpedConnection {
 public:
  explicit EchoConnection(Accepted accepted)
      : PumpedConnection(std::move(accepted)),
        flow_(ShortReadsOf(peer()), no_delay()) {}
  EchoConnection(Accepted accepted, const FrozenDirect& direct)
      : PumpedConnection(std::move(accepted), direct) {}

  void Restore(const FrozenEcho& frozen, std::vector<Descriptor> others) {
    size_t next = 0;
    PumpedConnection::Restore(frozen.flow, flow_, others, next);
  }

  std::optional<Moving> Freeze() const override {
    auto direct = FreezeDirect();
    if (!direct) return std::nullopt;
    Moving moving{{*std::move(direct), FrozenEcho()}, {fd()}};
    auto& echo = std::get<FrozenEcho>(moving.frozen.handler);
    if (!PumpedConnection::Freeze(flow_, echo.flow, moving.descriptors)) {
      return std::nullopt;
    }
    return moving;
  }

  bool is_at_rest() const override { return bytes_to_write() == 0; }

 private:
  void OnReady(uint32_t events, int) override {
    if (finished()) return;
    NoteEvents(kClient, events);
    Continue(kClient, events);
  }

  std::span<Flow> flows() override { return {&flow_, 1}; }
  int DescriptorOf(Side) const override { return fd(); }
  const BufferAgeLimit& AgeLimitOf(size_t) const override {
    return buffer_age_limit();
  }
  CutOff cut_off() const override { return CutOff::kGetsFin; }
  void FinishSides(How client, How) override { Finish(client); }

  Flow flow_;
};

}  // namespace

std::shared_ptr<DirectConnection> RestoreEcho(
    DirectConnection::Accepted accepted, const FrozenDirect& direct,
    const FrozenEcho& frozen, std::vector<Descriptor> others) {
  return Restored(
      std::make_shared<EchoConnection>(std::move(accepted), direct),
      [&](EchoConnection& echo) { echo.Restore(frozen, std::move(others)); });
}

AnyHandler EchoHandler() {
  DirectHandler handler;
  handler.make = [](DirectConnection::Accepted accepted) {
    return std::make_shared<EchoConnection>(std::move(accepted));
  };
  return handler;
}

}  // namespace portreeve::server
