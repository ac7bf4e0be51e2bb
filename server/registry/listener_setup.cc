#include "server/registry/listener_setup.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <variant>

#include "portreeve/v1/connection.pb.h"
#include "server/api/connection_failure.h"
#include "server/handlers/handlers.h"
#include "server/registry/connection_table.h"
#include "server/remote/claim.h"
#include "server/remote/remote_handler.h"

namespace portreeve::server {
namespace {

// Counts how long the forward handler of `connection` took to connect; `own`
// may be null.
void CountConnect(const AnyConnection& connection,
                  ConnectionHistograms::ConnectTimes& of_all,
                  ConnectionHistograms::ConnectTimes* own) {
  const auto time = ForwardConnectTime(connection);
  if (!time) return;
  of_all.Count(time->count());
  if (own != nullptr) own->Count(time->count());
}

ForwardOptions ForwardOptionsOf(const CheckedSpec& spec, const Shared& shared,
                                const ListenerParts& listener) {
  ForwardOptions options;
  options.upstream = spec.forward()->upstream;
  options.connect_timeout = spec.forward()->connect_timeout;
  options.buffer_age_limit = spec.options().buffer_age_limit;
  options.on_connected =
      [&connections = shared.connections, &counts = listener.upstream_counts,
       of_all = shared.histograms, own = listener.histograms](
          int64_t id, std::shared_ptr<const AnyAddress> upstream) {
        ++counts.connects;
        // Not Find(), which would count another owner of it.
        const auto it = connections.entries().find(id);
        if (it == connections.entries().end()) return;
        LiveConnection& live = *it->second;
        live.facts.upstream = std::move(upstream);
        if (of_all == nullptr) return;
        CountConnect(*live.connection, of_all->connect,
                     own != nullptr ? &own->connect : nullptr);
      };
  options.admit = [policy = shared.policy](const Inet::Address& address) {
    return policy.CheckAddress(address);
  };
  options.open = [policy = shared.policy](const Unix::Address& address) {
    return policy.OpenSocket(address);
  };
  options.times_connecting =
      shared.histograms != nullptr ||
      (shared.access_log != nullptr && spec.access_log().on_close);
  options.loops = &shared.loops;
  options.listener = listener.forward_id;
  options.on_unreached = [&connections = shared.connections,
                          &counts = listener.upstream_counts,
                          log = &listener.log, where = options.upstream](
                             int64_t id, const absl::Status& why,
                             std::shared_ptr<const AnyAddress> tried) {
    ++counts.connects;
    ++counts.errors;
    auto owned = std::make_unique<const ConnectionFailure>(FailureOf(why));
    const ConnectionFailure& failure = *owned;
    const auto live = connections.Find(id);
    if (live != nullptr) {
      live->facts.upstream = std::move(tried);
      live->facts.failure = std::move(owned);
    }
    log->OnUnreached(id, where, failure);
  };
  return options;
}

std::shared_ptr<Claim> ClaimOf(const ConnectionTable& connections, int64_t id,
                               const Executor& executor) {
  const auto live = connections.Find(id);
  // A handler begins in the step in which its connection entered the table.
  // Where there was no memory for that, nobody can claim it.
  if (live == nullptr) return std::make_shared<Claim>(executor);
  auto& claim = live->facts.claim;
  if (!claim) claim = std::make_shared<Claim>(executor);
  return claim;
}

}  // namespace

RemoteOptions RemoteOptionsOf(const CheckedSpec& spec, const Shared& shared,
                              const ListenerParts& listener) {
  RemoteOptions options;
  options.workers = &listener.workers;
  options.claim_timeout = spec.remote()->claim_timeout;
  options.claim_of = [&connections = shared.connections,
                      executor = listener.executor](int64_t id) {
    return ClaimOf(connections, id, executor);
  };
  options.describe = [&connections = shared.connections](int64_t id) {
    const auto live = connections.Find(id);
    return live ? Describe(*live) : v1::Connection();
  };
  return options;
}

AnyHandler HandlerOf(const CheckedSpec& spec, const Shared& shared,
                     const ListenerParts& listener) {
  if (spec.forward() != nullptr) {
    return ForwardHandler(ForwardOptionsOf(spec, shared, listener));
  }
  if (spec.remote() != nullptr) {
    return RemoteHandler(RemoteOptionsOf(spec, shared, listener));
  }
  return spec.message().handler().has_echo() ? EchoHandler() : DiscardHandler();
}

RestoreForward ForwardRestorerOf(const CheckedSpec& spec, const Shared& shared,
                                 const ListenerParts& listener) {
  if (spec.forward() == nullptr) return nullptr;
  return ForwardRestorer(ForwardOptionsOf(spec, shared, listener));
}

bool ConnectsAlike(const CheckedSpec& spec, const FrozenForward& forward) {
  if (spec.forward() == nullptr || !forward.connecting) return false;
  const auto to_text = [](const auto& where) { return ToString(where); };
  return std::visit(to_text, spec.forward()->upstream) ==
             forward.connecting->upstream &&
         spec.forward()->connect_timeout ==
             forward.connecting->connect_timeout &&
         spec.options().buffer_age_limit == forward.upstream_age_limit;
}

AnyOnHandlerError OnHandlerErrorOf(const CheckedSpec& spec,
                                   CallOnHandlerError call) {
  switch (spec.message().on_handler_error()) {
    case v1::ON_HANDLER_ERROR_CALL:
      return call;
    case v1::ON_HANDLER_ERROR_IGNORE:
      return IgnoreHandlerError();
    default:
      return RaiseHandlerError();
  }
}

}  // namespace portreeve::server
