#include "client/cli/error_text.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/cli/printable.h"
#include "client/error.h"

namespace portreeve::cli {
namespace {

using client::DetailsOf;
using client::ErrorDetails;

struct Hint {
  const char* key;
  const char* text;
};

// By reason; ADDRESS_IN_USE and INVALID_FIELD have functions of their own.
constexpr Hint kHints[] = {
    {"ADDRESS_NOT_AVAILABLE",
     "choose an address of the daemon's machine (ip address); to listen on "
     "every one, *"},
    {"ALREADY_ATTACHED", "another client serves this connection"},
    {"BIND_NOT_PERMITTED",
     "choose a port above 1023 or another directory, or give the daemon the "
     "right (CAP_NET_BIND_SERVICE)"},
    {"CONNECT_INTERRUPTED", "try again"},
    {"CONNECT_REFUSED", "check that something listens there"},
    {"CONNECT_TIMEOUT",
     "check the address, or give it more time (--connect-timeout)"},
    {"DNS_FAILURE", "check the name as the daemon's machine resolves it"},
    {"FD_LIMIT",
     "close listeners or connections, or start the daemon with a higher limit "
     "of descriptors (ulimit -n)"},
    {"IMMUTABLE_FIELD", "create another listener instead"},
    {"INSTANCE_CHANGED",
     "read the state again (portreeve watch --snapshot) and go on from there"},
    {"LISTENER_CLOSED", "create a new one; portreeve list shows those open"},
    {"LISTENER_EXISTS",
     "choose another ID; one that is closed is set free by portreeve delete"},
    {"LISTENER_OPEN",
     "close it first: portreeve close --existing close --wait-for "
     "handlers-determined"},
    {"NOT_A_SOCKET", "choose another path, or remove the file yourself"},
    {"NOT_FOUND",
     "see portreeve list and portreeve connections for what there is"},
    {"NOT_REMOTE",
     "only listeners created with --remote are served by "
     "clients"},
    {"NO_SUCH_PATH",
     "make the directory first, or choose another path: the daemon makes "
     "none"},
    {"NO_ROUTE", "check the routes of the daemon's machine (ip route)"},
    {"OUTSIDE_POLICY",
     "choose what the daemon's --policy file allows, or ask its operator"},
    {"OVERLOADED",
     "read the answers that wait on this connection, and ask for less at once"},
    {"REQUEST_ID_REUSED",
     "choose a new --request-id, or repeat the very same request"},
    {"REVISION_UNKNOWN",
     "the daemon has not come to that revision: see the revision and "
     "instanceId "
     "of portreeve list -o json; it may have been started anew"},
    {"ROLE_REQUIRED",
     "ask the daemon's operator: its --policy file gives that role to "
     "certificates (--tls-cert), users or groups"},
    {"SELF_CONNECT",
     "choose an address that does not lead back to the daemon itself"},
    {"MOVED", "ask again: the process that has taken over answers"},
    {"UPGRADE_IN_PROGRESS",
     "wait until the connections of the former process have ended "
     "(portreeve daemon says how many there are)"},
    {"UPGRADE_FAILED", "the daemon's log says what the new process said"},
    {"SHUTTING_DOWN", "try again once the daemon has been started anew"},
};

// The flag for a field of a request; the first prefix that matches.
constexpr Hint kFlags[] = {
    {"listener_id", "ID"},
    {"request_id", "--request-id"},
    {"spec.where_to_listen.inet.bind_to_interface", "--bind-to-interface"},
    {"spec.where_to_listen.inet.dual_stack", "--dual-stack"},
    {"spec.where_to_listen.inet.reuse_address", "--reuse-address"},
    {"spec.where_to_listen.inet.reuse_port", "--reuse-port"},
    {"spec.where_to_listen.unix_socket.mode", "--mode"},
    {"spec.where_to_listen", "--listen"},
    {"spec.handler.forward.upstream.inet.bind_to_address", "--bind-to-address"},
    {"spec.handler.forward.upstream.inet.bind_to_port", "--bind-to-port"},
    {"spec.handler.forward.connect_timeout", "--connect-timeout"},
    {"spec.handler.forward", "--forward"},
    {"spec.handler.remote.claim_timeout", "--claim-timeout"},
    {"spec.max_connections", "--max-connections"},
    {"spec.max_pending_connections", "--max-pending-connections"},
    {"spec.max_accepts_per_batch", "--max-accepts-per-batch"},
    {"spec.buffer_age_limit", "--buffer-age-limit"},
    {"spec.on_handler_error", "--on-handler-error"},
    {"spec.drop_incoming_connections", "--drop-incoming-connections"},
    {"spec.labels", "--label"},
    {"spec.access_log.every", "--access-log-every"},
    {"spec.access_log", "--access-log"},
    {"dial.where_to_connect.inet.bind_to_address", "--bind-to-address"},
    {"dial.where_to_connect.inet.bind_to_port", "--bind-to-port"},
    {"dial.where_to_connect", "ADDRESS"},
    {"dial.timeout", "--connect-timeout"},
    {"dial.buffer_age_limit", "--buffer-age-limit"},
    {"start.listener", "LISTENER"},
    {"start.progress_interval", "--progress-interval"},
    {"progress_interval", "--progress-interval"},
    {"start_revision", "--from-revision"},
    {"instance_id", "--instance-id"},
    {"initial_snapshot", "--snapshot"},
    {"listeners", "--listener"},
    {"kinds", "--kind"},
};

// By a part of the text of an error of a state on disk; the first that matches.
constexpr Hint kStateHints[] = {
    {"No such file", "DIR is the directory of portreeved's --state"},
    {"no state of portreeved", "DIR is the directory of portreeved's --state"},
    {"Permission denied", "run this as the user of the daemon"},
    {"belongs to another user", "run this as that user"},
    {"may write to it", "take that right away (chmod go-w)"},
    {"is used by", "stop that first"},
    {"which is newer", "use the portreeve of that version"},
    {"whose schema", "use the portreeve of that version"},
    {"no regular file", ""},
    {"there is such a file", "choose another one"},
};

std::string FlagOf(std::string field) {
  // UpdateListener has the spec one level further down.
  if (absl::StartsWith(field, "listener.")) field = field.substr(9);
  for (const Hint& flag : kFlags) {
    if (absl::StartsWith(field, flag.key)) return flag.text;
  }
  return "";
}

std::string ViolationsText(const ErrorDetails& details) {
  std::vector<std::string> parts;
  for (const client::FieldViolation& violation : details.field_violations) {
    const std::string flag = FlagOf(violation.field);
    // A description may name its field by itself.
    const std::string description(absl::StripPrefix(
        violation.description, absl::StrCat(violation.field, ": ")));
    parts.push_back(absl::StrCat(violation.field,
                                 flag.empty() ? "" : " (" + flag + ")", ": ",
                                 description));
  }
  return absl::StrJoin(parts, "; ");
}

std::string AddressInUseHint(const absl::Status& status,
                             const ErrorDetails& details) {
  if (absl::IsAlreadyExists(status)) {
    return "a listener of this daemon has it: see portreeve list, or choose "
           "another address";
  }
  const auto address = details.metadata.find("address");
  if (address != details.metadata.end() &&
      absl::StartsWith(address->second, "unix:")) {
    return "choose another path, or find the owner with ss -lxp";
  }
  return "choose another port, or find the owner with ss -ltnp";
}

std::string HintFor(const absl::Status& status, const ErrorDetails& details) {
  if (details.reason == "ADDRESS_IN_USE") {
    return AddressInUseHint(status, details);
  }
  if (details.reason == "INVALID_FIELD") {
    return "correct it; --help of the verb tells what is taken";
  }
  for (const Hint& hint : kHints) {
    if (details.reason == hint.key) return hint.text;
  }
  return "";
}

std::string RefusalText(const absl::Status& status,
                        const ErrorDetails& details) {
  std::string what = details.field_violations.empty()
                         ? std::string(status.message())
                         : ViolationsText(details);
  const auto address = details.metadata.find("address");
  if (address != details.metadata.end() &&
      !absl::StrContains(what, address->second)) {
    absl::StrAppend(&what, " (", address->second, ")");
  }
  const std::string hint = HintFor(status, details);
  return absl::StrCat(details.reason, ": ", what, hint.empty() ? "" : "; ",
                      hint);
}

// Without what gRPC puts in front of the cause: "last error: UNKNOWN: ".
std::string Cause(const std::string& message) {
  constexpr char kMark[] = "last error: ";
  const size_t mark = message.find(kMark);
  if (mark == std::string::npos) return message;
  const size_t code = mark + sizeof(kMark) - 1;
  const size_t colon = message.find(": ", code);
  return message.substr(colon == std::string::npos ? code : colon + 2);
}

// Whether `message` is of a handshake that this side gave up.  An address list
// is empty where gRPC does not like the files.
bool IsHandshake(const std::string& message) {
  return absl::StrContains(message, "andshake") ||
         absl::StrContains(message, "Peer name") ||
         absl::StrContains(message, "empty address list");
}

// Whether `message` says no more than that the deadline has passed.
bool IsGrpcsDeadline(const std::string& message) {
  return message.empty() || message == "Deadline Exceeded";
}

std::string UnreachableHint(const std::string& message,
                            const std::string& server) {
  const bool is_unix = absl::StartsWith(server, "unix:");
  if (is_unix && absl::StrContains(message, "Permission denied")) {
    return "this user may not open the socket: run this as a user of its "
           "group, as the user of the daemon, or as root";
  }
  if (is_unix && absl::StrContains(message, "No such file")) {
    return absl::StrCat(
        "there is no such file: start portreeved with "
        "--control ",
        server, ", or point to it with --server or PORTREEVE_SERVER");
  }
  if (IsHandshake(message)) {
    return "check --tls-ca, --tls-cert, --tls-key and --tls-server-name "
           "against what the daemon was started with";
  }
  if (absl::StartsWith(message, "failed to connect") &&
      !absl::StrContains(message, "refused")) {
    return "something else may listen there, or a daemon that wants TLS: "
           "--tls-ca, and a certificate that it takes: --tls-cert, --tls-key";
  }
  return "start one with portreeved, or point to it with --server or "
         "PORTREEVE_SERVER";
}

}  // namespace

std::string ErrorText(const absl::Status& status, const std::string& server) {
  const ErrorDetails details = DetailsOf(status);
  const std::string message(status.message());
  std::string text;
  if (!details.reason.empty()) {
    text = RefusalText(status, details);
  } else if (client::IsUnreachable(status)) {
    text =
        absl::StrCat("no connection to a daemon at ", server, " (",
                     Cause(message), "); ", UnreachableHint(message, server));
  } else if (absl::IsDeadlineExceeded(status) && !IsGrpcsDeadline(message)) {
    text = absl::StrCat("--timeout has passed: ", message);
  } else if (absl::IsDeadlineExceeded(status)) {
    text = absl::StrCat("no answer from ", server,
                        " within --timeout; what was asked for may still "
                        "happen");
  } else if (absl::IsUnimplemented(status)) {
    text = absl::StrCat("the daemon at ", server, " cannot do this: ", message,
                        "; it may be of another version");
  } else {
    text = absl::StrCat(absl::StatusCodeToString(status.code()), ": ", message);
  }
  return Printable(text);
}

std::string StateErrorText(const absl::Status& status) {
  const std::string message(status.message());
  const char* hint =
      absl::IsDataLoss(status)
          ? "nothing in it can be read: put a backup in its place"
          : "";
  for (const Hint& one : kStateHints) {
    if (!absl::StrContains(message, one.key)) continue;
    hint = one.text;
    break;
  }
  return Printable(absl::StrCat(message, *hint == '\0' ? "" : "; ", hint));
}

ExitStatus ExitStatusOf(const absl::Status& status) {
  if (!DetailsOf(status).reason.empty()) return ExitStatus::kRefused;
  if (client::IsUnreachable(status)) return ExitStatus::kUnreachable;
  if (absl::IsDeadlineExceeded(status)) return ExitStatus::kTimedOut;
  return ExitStatus::kFailed;
}

}  // namespace portreeve::cli
