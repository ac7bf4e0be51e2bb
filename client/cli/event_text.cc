#include "client/cli/event_text.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"
#include "client/cli/printable.h"
#include "google/protobuf/descriptor.h"

namespace portreeve::cli {
namespace {

// The subject and the details of an event.
struct What {
  std::string subject = "-";
  std::string details;
};

// "listener_created": the field's name, which is the contract.
std::string KindText(const v1::Event& event) {
  const auto* field = event.GetReflection()->GetOneofFieldDescriptor(
      event, event.GetDescriptor()->FindOneofByName("kind"));
  return field == nullptr ? "unknown" : field->name();
}

What Opened(const v1::Listener& listener) {
  return {listener.name(),
          absl::StrCat("address=", ListeningText(listener),
                       " handler=", HandlerText(listener.spec().handler()))};
}

What Updated(const v1::Listener& listener) {
  const v1::ListenerSpec& spec = listener.spec();
  return {listener.name(),
          absl::StrCat(
              "handler=", HandlerText(spec.handler()),
              " max-connections=", spec.max_connections(),
              " max-pending-connections=", spec.max_pending_connections(),
              " max-accepts-per-batch=", spec.max_accepts_per_batch(),
              " buffer-age-limit=", BufferAgeLimitText(spec.buffer_age_limit()),
              " on-handler-error=", EnumText(spec.on_handler_error()),
              " drop-incoming-connections=",
              spec.drop_incoming_connections() ? "yes" : "no",
              " labels=", LabelsText(spec),
              " access-log=", AccessLogText(spec.access_log()))};
}

What Ended(const v1::Listener& listener) {
  return {listener.name(),
          absl::StrCat("address=", ListeningText(listener),
                       " cause=", EnumText(listener.status().close_cause()),
                       " connections=", listener.status().num_connections())};
}

What NotOpened(const v1::Listener& listener) {
  return {listener.name(),
          absl::StrCat("address=", ListeningText(listener),
                       " failure=", FailureText(listener.status()))};
}

What Started(const v1::Event::DaemonStarted& started) {
  return {
      "-",
      absl::StrCat(
          "version=", started.daemon().version(), " previous-version=",
          started.previous_version().empty() ? "-" : started.previous_version(),
          " restored=", started.restored(), " failed=", started.failed(),
          " clean=", started.clean() ? "yes" : "no")};
}

What Upgraded(const v1::Event::DaemonUpgraded& upgraded) {
  return {"-", absl::StrCat("version=", upgraded.daemon().version(),
                            " pid=", upgraded.daemon().pid(), " from-pid=",
                            upgraded.from_pid(), " moved=", upgraded.moved(),
                            " held=", upgraded.held())};
}

What OnConnection(const v1::Connection& connection) {
  What what{connection.name(), ""};
  if (!connection.listener().empty()) {
    what.details = absl::StrCat("listener=", connection.listener(), " ");
  }
  absl::StrAppend(&what.details, "direction=", EnumText(connection.direction()),
                  " peer=", AddressText(connection.peer()),
                  " local=", AddressText(connection.local()));
  return what;
}

What Closed(const v1::Connection& connection) {
  What what = OnConnection(connection);
  absl::StrAppend(&what.details,
                  " reason=", EnumText(connection.close_reason()),
                  " received=", connection.bytes_received(),
                  " sent=", connection.bytes_sent(),
                  " upstream=", AddressText(connection.upstream()),
                  " duration=", AgeText(connection));
  if (connection.has_failure()) {
    absl::StrAppend(&what.details, " failure=", FailureText(connection));
  }
  return what;
}

What Raised(const v1::Event::HandlerError& error) {
  return {error.listener(), absl::StrCat("connection=", error.connection(),
                                         " outcome=", EnumText(error.outcome()),
                                         " message=", error.message())};
}

What Failed(const v1::Event::AcceptFailed& failure) {
  return {failure.listener(), absl::StrCat("errno=", failure.error_number(),
                                           " message=", failure.message())};
}

What Missed(const v1::Event::Gap& gap) {
  return {"-", absl::StrCat("first=", gap.first_revision(), " last=",
                            gap.last_revision(), " count=", gap.count())};
}

What Of(const v1::Event& event) {
  switch (event.kind_case()) {
    case v1::Event::kListenerCreated:
      return Opened(event.listener_created().listener());
    case v1::Event::kListenerUpdated:
      return Updated(event.listener_updated().listener());
    case v1::Event::kListenerCloseStarted:
      return Ended(event.listener_close_started().listener());
    case v1::Event::kListenerCloseFinished:
      return Ended(event.listener_close_finished().listener());
    case v1::Event::kListenerHandlersDetermined:
      return Ended(event.listener_handlers_determined().listener());
    case v1::Event::kListenerDeleted:
      return {event.listener_deleted().listener().name(), ""};
    case v1::Event::kConnectionAccepted:
      return OnConnection(event.connection_accepted().connection());
    case v1::Event::kConnectionDropped:
      return OnConnection(event.connection_dropped().connection());
    case v1::Event::kConnectionClosed:
      return Closed(event.connection_closed().connection());
    case v1::Event::kHandlerError:
      return Raised(event.handler_error());
    case v1::Event::kLimitReached:
      return {event.limit_reached().listener(),
              absl::StrCat("limit=", event.limit_reached().limit())};
    case v1::Event::kAcceptFailed:
      return Failed(event.accept_failed());
    case v1::Event::kDaemonStarted:
      return Started(event.daemon_started());
    case v1::Event::kDaemonUpgraded:
      return Upgraded(event.daemon_upgraded());
    case v1::Event::kListenerRestored:
      return Opened(event.listener_restored().listener());
    case v1::Event::kListenerFailed:
      return NotOpened(event.listener_failed().listener());
    case v1::Event::kGap:
      return Missed(event.gap());
    case v1::Event::kSnapshotDone:
    case v1::Event::kProgress:
    case v1::Event::KIND_NOT_SET:
      return {};
  }
  return {};
}

}  // namespace

std::string EventText(const v1::Event& event) {
  const What what = Of(event);
  return Printable(absl::StrCat(event.revision(), " ", TimeText(event.time()),
                                " ", KindText(event), " ", what.subject,
                                what.details.empty() ? "" : " ", what.details));
}

}  // namespace portreeve::cli
