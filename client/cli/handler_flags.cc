#include "client/cli/handler_flags.h"

#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <string>
#include <vector>

#include "client/address.h"
#include "client/cli/option.h"
#include "client/cli/value.h"

namespace portreeve::cli {

void HandlerFlags::AddTo(CLI::App& app) {
  app.add_flag("--echo", echo_, "Handler: send back what comes");
  app.add_flag("--discard", discard_, "Handler: read and forget");
  AddOption(app, "--forward", "ADDRESS",
            "Handler: connect to tcp:HOST:PORT or unix:/path and copy both "
            "ways; HOST may be a name",
            Into(forward_, [this](const std::string& text) {
              return client::ParseWhereToConnect(text, directory_);
            }));
  app.add_flag("--remote", remote_, "Handler: a client that serves over gRPC");
  AddOption(app, "--connect-timeout", "DURATION",
            "Of --forward: how long connecting may take. Default: 30s",
            Into(connect_timeout_, ParseProtoDuration));
  AddOption(app, "--bind-to-address", "IP",
            "Of --forward tcp: the local address to connect from",
            [this](const std::string& text) {
              bind_to_address_ = text;
              return absl::OkStatus();
            });
  AddOption(app, "--bind-to-port", "PORT",
            "Of --forward tcp: the local port to connect from",
            Into(bind_to_port_, ParseInt32));
  AddOption(app, "--claim-timeout", "DURATION",
            "Of --remote: how long a worker may take to claim a connection. "
            "Default: 10s",
            Into(claim_timeout_, ParseProtoDuration));
}

int HandlerFlags::NumHandlers() const {
  return echo_ + discard_ + remote_ + forward_.has_value();
}

absl::Status HandlerFlags::CheckBindTo() const {
  if ((bind_to_address_ || bind_to_port_) &&
      !(forward_ && forward_->has_inet())) {
    return absl::InvalidArgumentError(
        "--bind-to-address and --bind-to-port need --forward tcp:...");
  }
  return absl::OkStatus();
}

absl::Status HandlerFlags::CheckNew() const {
  if (NumHandlers() != 1) {
    return absl::InvalidArgumentError(
        "exactly one handler is needed: --echo, --discard, --forward ADDRESS "
        "or --remote");
  }
  if (connect_timeout_ && !forward_) {
    return absl::InvalidArgumentError("--connect-timeout needs --forward");
  }
  if (claim_timeout_ && !remote_) {
    return absl::InvalidArgumentError("--claim-timeout needs --remote");
  }
  return CheckBindTo();
}

absl::Status HandlerFlags::FillNew(v1::ListenerSpec& spec) const {
  const absl::Status checked = CheckNew();
  if (!checked.ok()) return checked;
  v1::Handler& handler = *spec.mutable_handler();
  if (echo_) handler.mutable_echo();
  if (discard_) handler.mutable_discard();
  if (remote_) {
    auto& remote = *handler.mutable_remote();
    if (claim_timeout_) *remote.mutable_claim_timeout() = *claim_timeout_;
  }
  if (forward_) {
    auto& forward = *handler.mutable_forward();
    *forward.mutable_upstream() = *forward_;
    if (connect_timeout_)
      *forward.mutable_connect_timeout() = *connect_timeout_;
    auto& upstream = *forward.mutable_upstream();
    if (bind_to_address_) {
      upstream.mutable_inet()->set_bind_to_address(*bind_to_address_);
    }
    if (bind_to_port_) {
      upstream.mutable_inet()->set_bind_to_port(*bind_to_port_);
    }
  }
  return absl::OkStatus();
}

absl::Status HandlerFlags::FillChange(v1::ListenerSpec& spec,
                                      std::vector<std::string>& paths) const {
  if (NumHandlers() > 0) {
    const absl::Status filled = FillNew(spec);
    if (filled.ok()) paths.push_back("spec.handler");
    return filled;
  }
  if (connect_timeout_ && claim_timeout_) {
    return absl::InvalidArgumentError(
        "--connect-timeout is of --forward, --claim-timeout of --remote");
  }
  v1::Handler& handler = *spec.mutable_handler();
  if (connect_timeout_) {
    *handler.mutable_forward()->mutable_connect_timeout() = *connect_timeout_;
    paths.push_back("spec.handler.forward.connect_timeout");
  } else if (claim_timeout_) {
    *handler.mutable_remote()->mutable_claim_timeout() = *claim_timeout_;
    paths.push_back("spec.handler.remote.claim_timeout");
  } else {
    spec.clear_handler();
  }
  return CheckBindTo();
}

}  // namespace portreeve::cli
