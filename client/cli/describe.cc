// describe.
#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/any_name.h"
#include "client/cli/describe_text.h"
#include "client/cli/newest_events.h"
#include "client/cli/option.h"
#include "client/cli/verb.h"

namespace portreeve::cli {
namespace {

constexpr char kDescribeHelp[] =
    "Says in words what may be wrong with a listener (it is not open, at its\n"
    "limit, served by nobody; the kernel cut its backlog; its upstream "
    "refuses),\n"
    "what it does and is told to do, `(default)` where that is what it would "
    "do\n"
    "anyway, and the newest 20 events about it and its connections. -o json "
    "is\n"
    "the same as that of get.\n"
    "Of a live connection it says what it waits for (its peer does not read, "
    "or\n"
    "has closed its half; segments are lost; nothing goes through it), where "
    "it\n"
    "comes from and leads to, its bytes, what the kernel knows of a TCP "
    "socket\n"
    "(round trip, retransmits, congestion window, what is not sent and not\n"
    "acknowledged), and its events; -o json gives the Connection with its\n"
    "tcp_info. ID alone is a connection where no listener has it.\n"
    "  $ portreeve describe web\n"
    "  $ portreeve describe connections/a7";

absl::StatusOr<v1::Connection> GetConnection(const std::string& name,
                                             Session& session) {
  v1::GetConnectionRequest request;
  request.set_name(name);
  request.set_tcp_info(true);
  return session.client.GetConnection(request, session.Ordinary());
}

absl::Status Describe(const v1::Listener& listener, Session& session) {
  const absl::StatusOr<std::vector<v1::Event>> events =
      NewestEvents(listener.name(), session);
  if (!events.ok()) return events.status();
  return session.Print(listener,
                       DescribeListener(listener, *events, absl::Now()));
}

absl::Status Describe(const v1::Connection& connection, Session& session) {
  if (session.options.output == Output::kJson) {
    return session.PrintJson(connection);
  }
  absl::StatusOr<v1::Listener> listener = absl::NotFoundError("");
  if (!connection.listener().empty()) {
    listener =
        session.client.GetListener(connection.listener(), session.Ordinary());
    if (!listener.ok() && !absl::IsNotFound(listener.status())) {
      return listener.status();
    }
  }
  const absl::StatusOr<std::vector<v1::Event>> events =
      NewestEvents(connection, session);
  if (!events.ok()) return events.status();
  return session.Print(
      connection,
      DescribeConnection(connection, listener.ok() ? &*listener : nullptr,
                         *events, absl::Now()));
}

// What describe is asked for.
struct Subject {
  std::string text;  // As it was written.
  std::string name;
};

// Gives the connection that `subject` may be although it is not written as one;
// else what there is no listener for.
absl::StatusOr<v1::Connection> ConnectionOf(const Subject& subject,
                                            const absl::Status& no_listener,
                                            Session& session) {
  if (!absl::IsNotFound(no_listener) || absl::StrContains(subject.text, '/')) {
    return no_listener;
  }
  absl::StatusOr<v1::Connection> connection =
      GetConnection(absl::StrCat("connections/", subject.text), session);
  if (!connection.ok()) return no_listener;
  return connection;
}

absl::StatusOr<ExitStatus> Run(const Subject& subject, Session& session) {
  absl::Status described;
  if (IsConnectionName(subject.name)) {
    const auto connection = GetConnection(subject.name, session);
    if (!connection.ok()) return connection.status();
    described = Describe(*connection, session);
  } else {
    const absl::StatusOr<v1::Listener> listener =
        session.client.GetListener(subject.name, session.Ordinary());
    if (listener.ok()) {
      described = Describe(*listener, session);
    } else {
      const auto connection = ConnectionOf(subject, listener.status(), session);
      if (!connection.ok()) return connection.status();
      described = Describe(*connection, session);
    }
  }
  if (!described.ok()) return described;
  return ExitStatus::kDone;
}

}  // namespace

Verb AddDescribe(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("describe", kDescribeHelp);
  auto subject = std::make_shared<Subject>();
  AddOption(*verb, "NAME", "",
            "ID or listeners/ID of a listener, or connections/ID. Required",
            [subject](const std::string& text) {
              subject->text = text;
              return Into(subject->name, AnyName)(text);
            })
      ->required();
  return {verb, [subject](Session& session) { return Run(*subject, session); }};
}

}  // namespace portreeve::cli
