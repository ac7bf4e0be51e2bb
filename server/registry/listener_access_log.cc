#include "server/registry/listener_access_log.h"

#include <utility>

#include "lib/base/guarded.h"
#include "server/api/json_line.h"

namespace portreeve::server {
namespace {

// Gives an object with those labels of `spec` that have one of `keys`; "" where
// it has none of them.
std::string LabelsOf(const v1::ListenerSpec& spec,
                     const std::vector<std::string>& keys) {
  std::string object;
  for (const std::string& key : keys) {
    const auto label = spec.labels().find(key);
    if (label == spec.labels().end()) continue;
    object += object.empty() ? '{' : ',';
    AppendJsonString(label->first, object);
    object += ':';
    AppendJsonString(label->second, object);
  }
  if (!object.empty()) object += '}';
  return object;
}

}  // namespace

ListenerAccessLog::ListenerAccessLog(AccessLog& log, TimeSource& time,
                                     const ConnectionTable& connections,
                                     std::string listener_id,
                                     const CheckedSpec& spec)
    : log_(log),
      time_(time),
      connections_(connections),
      listener_id_(std::move(listener_id)) {
  rules_ = RulesOf(spec);
}

ListenerAccessLog::Rules ListenerAccessLog::RulesOf(
    const CheckedSpec& spec) const {
  Rules rules;
  rules.lines = spec.access_log();
  rules.labels = LabelsOf(spec.message(), log_.label_keys());
  if (!rules.lines.every) return rules;
  rules.queue =
      rules.lines.every == rules_.lines.every
          ? rules_.queue
          : std::make_shared<DelayQueue>(time_, *rules.lines.every,
                                         DelayQueue::OnLeave::kMoveTimer);
  return rules;
}

void ListenerAccessLog::OnAccepted(const LiveConnection& live) {
  if (rules_.lines.on_open) {
    Tell(AccessEvent::kOpen, *live.connection, live.facts);
  }
  Follow(live.connection->id());
}

void ListenerAccessLog::Follow(int64_t id) {
  if (rules_.queue == nullptr) return;
  // Without memory for that it lacks those lines.
  Guarded([&] { open_.try_emplace(id, *this, id, rules_.queue); });
}

void ListenerAccessLog::OnClosed(const LiveConnection& live) {
  if (!open_.empty()) open_.erase(live.connection->id());
  if (!live.facts.leaves_line) return;
  Tell(AccessEvent::kClose, *live.connection, live.facts);
}

void ListenerAccessLog::OnDropped(const AnyConnection& connection,
                                  const ConnectionFacts& facts) {
  if (rules_.lines.on_close) Tell(AccessEvent::kDrop, connection, facts);
}

void ListenerAccessLog::Open::OnDelayOver() {
  const auto live = log_.connections_.Find(id_);
  if (live == nullptr) return;
  queue_->Join(*this);
  log_.Tell(AccessEvent::kAlive, *live->connection, live->facts);
}

void ListenerAccessLog::Tell(AccessEvent event, const AnyConnection& connection,
                             const ConnectionFacts& facts) {
  log_.Tell(event, connection, facts, listener_id_, rules_.labels);
}

}  // namespace portreeve::server
