// dial.
#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "client/address.h"
#include "client/cli/option.h"
#include "client/cli/terminal.h"
#include "client/cli/value.h"
#include "client/cli/verb.h"

namespace portreeve::cli {
namespace {

constexpr char kDialHelp[] =
    "Connects out from the daemon's machine. Like nc: stdin goes to the other\n"
    "end, what comes from there to stdout. The end of stdin is sent as FIN; "
    "it\n"
    "ends once both ends have sent theirs, exit status 0, or when the\n"
    "connection is cut (7). A dial that a signal ends cuts it too. An upgrade\n"
    "of the daemon shows in nothing but a pause.\n"
    "  $ printf 'GET / HTTP/1.0\\r\\n\\r\\n' | portreeve dial "
    "tcp:10.0.0.1:80";

// Outlives the parsing.
struct DialFlags {
  v1::ClientFrame::Dial dial;
  std::optional<std::string> bind_to_address;
  std::optional<int32_t> bind_to_port;

  void AddTo(CLI::App& verb, const std::string& directory);
  // Completes `dial`; after the parsing.
  void Complete();
};

void DialFlags::AddTo(CLI::App& verb, const std::string& directory) {
  AddOption(verb, "ADDRESS", "",
            "tcp:HOST:PORT or unix:/path, as the daemon's machine sees it; "
            "HOST may be a name. Required",
            [this, directory](const std::string& text) {
              auto where = client::ParseWhereToConnect(text, directory);
              if (where.ok()) *dial.mutable_where_to_connect() = *where;
              return where.status();
            })
      ->required();
  AddOption(verb, "--connect-timeout", "DURATION",
            "How long connecting may take, the lookup of the name included. "
            "Default: 30s",
            [this](const std::string& text) {
              auto timeout = ParseProtoDuration(text);
              if (timeout.ok()) *dial.mutable_timeout() = *timeout;
              return timeout.status();
            });
  AddOption(verb, "--bind-to-address,--bind-address", "IP",
            "Of tcp: the local address to connect from",
            [this](const std::string& text) {
              bind_to_address = text;
              return absl::OkStatus();
            });
  AddOption(verb, "--bind-to-port,--bind-port", "PORT",
            "Of tcp: the local port to connect from",
            Into(bind_to_port, ParseInt32));
  AddOption(verb, "--buffer-age-limit", "DURATION|unlimited",
            "How long bytes may wait for the other end to read before the "
            "connection is closed. Default: 2m",
            [this](const std::string& text) {
              auto limit = ParseBufferAgeLimit(text);
              if (limit.ok()) *dial.mutable_buffer_age_limit() = *limit;
              return limit.status();
            });
}

void DialFlags::Complete() {
  if (!bind_to_address && !bind_to_port) return;
  if (!dial.where_to_connect().has_inet()) {
    RefuseUsage("--bind-to-address and --bind-to-port need a tcp: address");
  }
  auto& inet = *dial.mutable_where_to_connect()->mutable_inet();
  if (bind_to_address) inet.set_bind_to_address(*bind_to_address);
  if (bind_to_port) inet.set_bind_to_port(*bind_to_port);
}

}  // namespace

Verb AddDial(CLI::App& app, const Environment& environment) {
  CLI::App* verb = app.add_subcommand("dial", kDialHelp);
  auto flags = std::make_shared<DialFlags>();
  flags->AddTo(*verb, environment.directory);
  verb->callback([flags] { flags->Complete(); });
  return {verb, [flags](Session& session) -> absl::StatusOr<ExitStatus> {
            absl::StatusOr<client::Stream> stream =
                session.client.Dial(flags->dial, session.Waiting());
            if (!stream.ok()) return stream.status();
            return ServeOnTerminal("dial", session, *stream);
          }};
}

}  // namespace portreeve::cli
