// What the CLI says of errors, and the exit status that follows.
#include "client/cli/error_text.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "absl/status/status.h"
#include "client/error.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace portreeve::cli {
namespace {

using absl::StatusCode;

absl::Status Refusal(StatusCode code, const std::string& reason,
                     const std::string& address = "",
                     const std::map<std::string, std::string>& fields = {},
                     const std::string& domain = "portreeve") {
  google::rpc::Status rich;
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain(domain);
  if (!address.empty()) (*info.mutable_metadata())["address"] = address;
  rich.add_details()->PackFrom(info);
  google::rpc::BadRequest bad;
  for (const auto& [field, description] : fields) {
    auto* violation = bad.add_field_violations();
    violation->set_field(field);
    violation->set_description(description);
  }
  if (!fields.empty()) rich.add_details()->PackFrom(bad);
  absl::Status status(code, "what happened");
  client::AttachDetails(rich.SerializeAsString(), status);
  return status;
}

TEST(ErrorTextTest, EveryReasonOfTheApiHasAHint) {
  for (const char* reason :
       {"ADDRESS_IN_USE",  "BIND_NOT_PERMITTED",    "OUTSIDE_POLICY",
        "ROLE_REQUIRED",   "ADDRESS_NOT_AVAILABLE", "INVALID_FIELD",
        "NOT_A_SOCKET",    "LISTENER_EXISTS",       "NOT_FOUND",
        "CONNECT_TIMEOUT", "CONNECT_INTERRUPTED",   "CONNECT_REFUSED",
        "NO_ROUTE",        "DNS_FAILURE",           "FD_LIMIT",
        "LISTENER_CLOSED", "LISTENER_OPEN",         "IMMUTABLE_FIELD",
        "NOT_REMOTE",      "ALREADY_ATTACHED",      "INSTANCE_CHANGED",
        "SHUTTING_DOWN",   "REQUEST_ID_REUSED",     "REVISION_UNKNOWN",
        "OVERLOADED",      "SELF_CONNECT",          "NO_SUCH_PATH",
        "MOVED",           "UPGRADE_IN_PROGRESS",   "UPGRADE_FAILED"}) {
    SCOPED_TRACE(reason);
    const absl::Status status = Refusal(StatusCode::kUnavailable, reason);
    const std::string text = ErrorText(status, "tcp:h:1");
    const std::string start = std::string(reason) + ": what happened; ";
    EXPECT_EQ(text.substr(0, start.size()), start);
    EXPECT_GT(text.size(), start.size());
    EXPECT_EQ(ExitStatusOf(status), ExitStatus::kRefused);
  }
}

TEST(ErrorTextTest, AReasonThatItDoesNotKnowHasNoHint) {
  EXPECT_EQ(ErrorText(Refusal(StatusCode::kInternal, "NEWER"), "tcp:h:1"),
            "NEWER: what happened");
}

TEST(ErrorTextTest, AddressInUseTellsHowToFindTheOwner) {
  EXPECT_EQ(ErrorText(Refusal(StatusCode::kFailedPrecondition, "ADDRESS_IN_USE",
                              "tcp:127.0.0.1:80"),
                      ""),
            "ADDRESS_IN_USE: what happened (tcp:127.0.0.1:80); choose another "
            "port, or find the owner with ss -ltnp");
  EXPECT_EQ(ErrorText(Refusal(StatusCode::kFailedPrecondition, "ADDRESS_IN_USE",
                              "unix:/x"),
                      ""),
            "ADDRESS_IN_USE: what happened (unix:/x); choose another path, or "
            "find the owner with ss -lxp");
  EXPECT_EQ(
      ErrorText(Refusal(StatusCode::kAlreadyExists, "ADDRESS_IN_USE"), ""),
      "ADDRESS_IN_USE: what happened; a listener of this daemon has it: see "
      "portreeve list, or choose another address");
}

TEST(ErrorTextTest, WrongFieldsAreNamedWithTheirFlags) {
  EXPECT_EQ(
      ErrorText(Refusal(StatusCode::kInvalidArgument, "INVALID_FIELD", "",
                        {{"listener.spec.max_connections", "must be >= 1"},
                         {"name", "name: is no name"},
                         {"spec.where_to_listen.inet.address", "no names"}}),
                ""),
      "INVALID_FIELD: listener.spec.max_connections (--max-connections): must "
      "be >= 1; name: is no name; spec.where_to_listen.inet.address "
      "(--listen): no names; correct it; --help of the verb tells what is "
      "taken");
}

TEST(ErrorTextTest, ADaemonThatIsNotReachedIsNamed) {
  const absl::Status status = absl::UnavailableError(
      "failed to connect to all addresses; last error: UNKNOWN: "
      "ipv4:127.0.0.1:1: Connection refused");
  EXPECT_EQ(ErrorText(status, "tcp:127.0.0.1:1"),
            "no connection to a daemon at tcp:127.0.0.1:1 (ipv4:127.0.0.1:1: "
            "Connection refused); start one with portreeved, or point to it "
            "with --server or PORTREEVE_SERVER");
  EXPECT_EQ(ExitStatusOf(status), ExitStatus::kUnreachable);
}

// These are gRPC's own texts.
TEST(ErrorTextTest, AUnixSocketThatCannotBeOpenedSaysWhy) {
  const std::string last =
      "failed to connect to all addresses; last error: UNKNOWN: ";
  EXPECT_EQ(ErrorText(absl::UnavailableError(
                          last + "unix:/run/p.sock: Permission denied"),
                      "unix:/run/p.sock"),
            "no connection to a daemon at unix:/run/p.sock (unix:/run/p.sock: "
            "Permission denied); this user may not open the socket: run this "
            "as a user of its group, as the user of the daemon, or as root");
  EXPECT_EQ(ErrorText(absl::UnavailableError(
                          last + "unix:/run/p.sock: No such file or directory"),
                      "unix:/run/p.sock"),
            "no connection to a daemon at unix:/run/p.sock (unix:/run/p.sock: "
            "No such file or directory); there is no such file: start "
            "portreeved with --control unix:/run/p.sock, or point to it with "
            "--server or PORTREEVE_SERVER");
  const std::string refused = ErrorText(
      absl::UnavailableError(last + "unix-abstract:p: Connection refused"),
      "unix:@p");
  EXPECT_NE(refused.find("start one with portreeved"), std::string::npos);
  // TCP has neither.
  const std::string tcp = ErrorText(
      absl::UnavailableError(last + "ipv4:127.0.0.1:1: Permission denied"),
      "tcp:127.0.0.1:1");
  EXPECT_EQ(tcp.find("this user"), std::string::npos) << tcp;
}

TEST(ErrorTextTest, ADeadlineSaysWhatWasAwaitedWhereThatIsKnown) {
  const absl::Status late = absl::DeadlineExceededError("listeners/web is X");
  EXPECT_EQ(ErrorText(late, "tcp:h:1"),
            "--timeout has passed: listeners/web is X");
  EXPECT_EQ(ExitStatusOf(late), ExitStatus::kTimedOut);
}

TEST(ErrorTextTest, HandshakesThatFailPointToTheFlagsOfTls) {
  for (const char* message :
       {"failed to connect to all addresses; last error: UNKNOWN: "
        "ipv4:127.0.0.1:1: Ssl handshake failed: SSL_ERROR_SSL",
        "failed to connect to all addresses; last error: UNAVAILABLE: "
        "ipv4:127.0.0.1:1: Socket closed",
        "ipv4:127.0.0.1:1: Peer name h is not in peer certificate",
        "empty address list: "}) {
    SCOPED_TRACE(message);
    const std::string text =
        ErrorText(absl::UnavailableError(message), "tcp:h:1");
    EXPECT_NE(text.find("--tls-ca"), std::string::npos) << text;
    EXPECT_EQ(text.find("last error"), std::string::npos) << text;
  }
  // A call that broke is no handshake.
  EXPECT_EQ(ErrorText(absl::UnavailableError("Socket closed"), "tcp:h:1"),
            "no connection to a daemon at tcp:h:1 (Socket closed); start one "
            "with portreeved, or point to it with --server or "
            "PORTREEVE_SERVER");
}

TEST(ErrorTextTest, OtherErrorsHaveTheirCode) {
  const absl::Status late = absl::DeadlineExceededError("Deadline Exceeded");
  EXPECT_EQ(ErrorText(late, "tcp:h:1"),
            "no answer from tcp:h:1 within --timeout; what was asked for may "
            "still happen");
  EXPECT_EQ(ExitStatusOf(late), ExitStatus::kTimedOut);
  const absl::Status old = absl::UnimplementedError("no such method");
  EXPECT_EQ(ErrorText(old, "tcp:h:1"),
            "the daemon at tcp:h:1 cannot do this: no such method; it may be "
            "of another version");
  EXPECT_EQ(ExitStatusOf(old), ExitStatus::kFailed);
  EXPECT_EQ(ErrorText(absl::InternalError("two\nlines"), ""),
            "INTERNAL: two\\nlines");
}

TEST(ErrorDetailsTest, OfNothingAndOfForeignDetailsAreEmpty) {
  EXPECT_EQ(client::DetailsOf(absl::OkStatus()), client::ErrorDetails());
  EXPECT_EQ(client::DetailsOf(absl::InternalError("x")),
            client::ErrorDetails());
  absl::Status garbage = absl::InternalError("x");
  client::AttachDetails("\xFF garbage", garbage);
  EXPECT_EQ(client::DetailsOf(garbage), client::ErrorDetails());
  EXPECT_EQ(client::DetailsOf(
                Refusal(StatusCode::kInternal, "X", "", {}, "example.org")),
            client::ErrorDetails());
}

TEST(StateErrorTextTest, SaysWhatToDo) {
  EXPECT_EQ(
      StateErrorText(absl::DataLossError("DIR/portreeved.db: it is empty")),
      "DIR/portreeved.db: it is empty; nothing in it can be read: put a "
      "backup in its place");
  EXPECT_EQ(
      StateErrorText(absl::DataLossError("open DIR/x: Permission denied")),
      "open DIR/x: Permission denied; run this as the user of the daemon");
  EXPECT_EQ(StateErrorText(absl::UnavailableError("DIR is used by process 7")),
            "DIR is used by process 7; stop that first");
  EXPECT_EQ(StateErrorText(absl::ResourceExhaustedError("write\n: full")),
            "write\\n: full");
}

}  // namespace
}  // namespace portreeve::cli
