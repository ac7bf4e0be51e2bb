// Registry: the lists, and what is about single connections.
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/api/convert.h"
#include "server/api/errors.h"
#include "server/api/names.h"
#include "server/api/page_token.h"
#include "server/events/connection_record.h"
#include "server/events/listener_record.h"
#include "server/registry/registry.h"

namespace portreeve::server {
namespace {

constexpr char kListenerList[] = "listeners";

// Gives which list a request is about; the filter is a part of that.
std::string ConnectionList(const std::string& listener) {
  return listener.empty() ? "connections" : ListenerName(listener);
}

// 0 stands for every name that was never given.
absl::Status NoConnection(int64_t number) {
  return NotFound(number == 0 ? "connection" : ConnectionName(number));
}

}  // namespace

absl::StatusOr<EncodedPage<v1::ListListenersResponse>> Registry::List(
    const v1::ListListenersRequest& request) const {
  const auto page_size = PageSize(request.page_size());
  if (!page_size.ok()) return page_size.status();
  PageToken token{kListenerList, "", shared_.events.last_revision()};
  if (!request.page_token().empty()) {
    auto decoded = page_tokens_.Decode(request.page_token(), kListenerList);
    if (!decoded.ok()) return decoded.status();
    token = *std::move(decoded);
  }
  using Page = v1::ListListenersResponse;
  EncodedPage<Page> page;
  int num_listeners = 0;
  auto it = listeners_.upper_bound(token.last);
  for (; it != listeners_.end(); ++it) {
    if (num_listeners == *page_size || page.bytes.size() > kMaxPageBytes) break;
    BackwardWriter writer;
    WriteListener(it->second->Record(), writer);
    page.Add(Page::kListenersFieldNumber, writer);
    ++num_listeners;
    token.last = it->first;
  }
  Page rest;
  rest.set_revision(token.revision);
  rest.set_instance_id(shared_.events.instance_id());
  if (it != listeners_.end()) {
    rest.set_next_page_token(page_tokens_.Encode(token));
  }
  rest.AppendToString(&page.bytes);
  return page;
}

absl::StatusOr<EncodedPage<v1::ListConnectionsResponse>>
Registry::ListConnections(const std::string& listener,
                          const v1::ListConnectionsRequest& request) const {
  const auto page_size = PageSize(request.page_size());
  if (!page_size.ok()) return page_size.status();
  const std::string list = ConnectionList(listener);
  PageToken token{list, "", 0};
  int64_t last = 0;
  if (!request.page_token().empty()) {
    auto decoded = page_tokens_.Decode(request.page_token(), list);
    if (!decoded.ok()) return decoded.status();
    const auto number = ParseConnectionName(decoded->last, "page_token");
    if (!number.ok()) return number.status();
    last = *number;
  }
  using Page = v1::ListConnectionsResponse;
  EncodedPage<Page> page;
  int num_connections = 0;
  // Gives false where the page is full.
  const auto add = [&](const LiveConnection& live) {
    if (num_connections == *page_size) {
      token.last = ConnectionName(last);
      Page rest;
      rest.set_next_page_token(page_tokens_.Encode(token));
      rest.AppendToString(&page.bytes);
      return false;
    }
    BackwardWriter writer;
    if (live.facts.is_held) {
      writer.Int(v1::Connection::kHeldByPredecessorFieldNumber, 1);
    }
    WriteConnection(Pack(RecordOf(live)).bytes(), NameOf(live.facts), writer);
    page.Add(Page::kConnectionsFieldNumber, writer);
    ++num_connections;
    last = live.connection->id();
    return true;
  };
  if (listener.empty()) {
    const auto& all = connections_.entries();
    for (auto it = all.upper_bound(last); it != all.end(); ++it) {
      if (!add(*it->second)) break;
    }
    return page;
  }
  // Its own ones alone: to look for them among all would hold the loop for as
  // long as all others take.
  const auto found = Find(listener);
  if (!found.ok()) return found.status();
  const AnyServer::Connections* const own = (*found)->connections();
  if (own == nullptr) return page;
  for (auto it = own->upper_bound(last); it != own->end(); ++it) {
    const auto live = connections_.Find(it->first);
    if (live != nullptr && !add(*live)) break;
  }
  return page;
}

absl::StatusOr<v1::Connection> Registry::GetConnection(int64_t number) const {
  const auto live = connections_.Find(number);
  if (!live) return NoConnection(number);
  return Describe(*live);
}

void Registry::GetConnectionAndTcpInfo(int64_t number,
                                       const Then<v1::Connection>& then) const {
  const std::shared_ptr<const LiveConnection> live = connections_.Find(number);
  if (!live) return then(NoConnection(number));
  live->connection->AskTcpInfo(
      [live, then](const std::optional<TcpInfo>& info) {
        v1::Connection connection = Describe(*live);
        if (info) *connection.mutable_tcp_info() = ToProto(*info);
        then(std::move(connection));
      });
}

absl::StatusOr<std::shared_ptr<LiveConnection>> Registry::Attach(
    int64_t number) {
  // Whatever becomes of it is known there.
  if (moved_) return Moved();
  auto live = connections_.Find(number);
  if (!live) return NoConnection(number);
  const std::shared_ptr<Claim> claim = live->facts.claim;
  const std::string name = ConnectionName(number);
  if (!claim || !claim->begun) {
    return NotRemote(name, "is not of a listener with a remote handler");
  }
  if (!claim->Take()) {
    return ServerError(absl::StatusCode::kFailedPrecondition,
                       "ALREADY_ATTACHED",
                       absl::StrCat(name, " is served already"));
  }
  return live;
}

absl::StatusOr<Awaited<v1::Connection>> Registry::CloseConnection(
    int64_t number, ExistingConnections how) {
  const std::shared_ptr<LiveConnection> live = connections_.Find(number);
  if (!live) return NoConnection(number);
  live->facts.close_called = true;
  const Deferred<> closed = live->connection->Close(how, CloseReason::kCalled);
  return Awaited<v1::Connection>{closed, [live] { return Describe(*live); }};
}

}  // namespace portreeve::server
