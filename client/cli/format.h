// How people see listeners and connections.  Text that comes from the daemon
// goes through Printable; what is not set is "-".
#ifndef PORTREEVE_CLIENT_CLI_FORMAT_H_
#define PORTREEVE_CLIENT_CLI_FORMAT_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/generated_enum_reflection.h"
#include "google/protobuf/timestamp.pb.h"
#include "portreeve/v1/connection.pb.h"
#include "portreeve/v1/daemon.pb.h"
#include "portreeve/v1/handler.pb.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::cli {

// Gives a header and a line for each connection.
std::string ConnectionTable(const v1::ListConnectionsResponse& response);

// Give every field as a line "key: value".
std::string ListenerView(const v1::Listener& listener);
std::string ConnectionView(const v1::Connection& connection);
std::string DaemonView(const v1::Daemon& daemon);

// Gives "LISTENING", and "FAILED(ADDRESS_IN_USE)".
std::string StateText(const v1::ListenerStatus& status);

// Whether `backlog_connections` is set, in an answer that has it.
bool HasBacklog(const v1::ListenerStatus& status);

// Gives how many connections have closed, whyever.
int64_t ClosedTotal(const v1::ListenerStatus& status);

// Gives why the listener is not open, and when it is tried again; "-" where it
// has not failed.
std::string FailureText(const v1::ListenerStatus& status);

// Gives "CLOSED" for LISTENER_STATE_CLOSED; the number where this program does
// not know the value.
std::string EnumText(const google::protobuf::EnumDescriptor& type, int value);
template <typename Enum>
std::string EnumText(Enum value) {
  return EnumText(*google::protobuf::GetEnumDescriptor<Enum>(),
                  static_cast<int>(value));
}

// Gives "1m30s".
std::string DurationText(const google::protobuf::Duration& duration);

// Gives "1.25s", in microseconds, from the creation of the connection to its
// close; "-" where it is not closed.
std::string AgeText(const v1::Connection& connection);

// Gives "CONNECT_REFUSED: connect tcp:127.0.0.1:9: Connection refused"; "-"
// where the connection has no failure.
std::string FailureText(const v1::Connection& connection);

// Give "3m20s" and "3m20s ago"; "0" for what is to come, by this machine's
// clock.
std::string SinceText(const google::protobuf::Timestamp& time, absl::Time now);
std::string AgoText(const google::protobuf::Timestamp& time, absl::Time now);

// Gives "1 byte", "2 bytes".
std::string CountText(int64_t count, const std::string& what);

// Gives "2024-05-01T12:00:00.250Z": UTC, milliseconds.
std::string TimeText(const google::protobuf::Timestamp& time);

// Gives "echo", "forward=tcp:10.0.0.1:80".
std::string HandlerText(const v1::Handler& handler);

// Gives "2m" or "unlimited".
std::string BufferAgeLimitText(const v1::BufferAgeLimit& limit);

// Gives "KEY=VALUE,KEY=VALUE", in order; "-" where there are none.
std::string LabelsText(const v1::ListenerSpec& spec);

// Gives "ON_CLOSE" or "ON_CLOSE,every=1h"; "-" where it is unset.
std::string AccessLogText(const v1::AccessLog& log);

// Gives what client::ToText gives, but "-" where nothing is set.
std::string AddressText(const v1::Address& address);

// Gives where the listener listens; before it does, and in answers without a
// status, where it shall listen.
std::string ListeningText(const v1::Listener& listener);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_FORMAT_H_
