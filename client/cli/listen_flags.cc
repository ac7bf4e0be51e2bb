#include "client/cli/listen_flags.h"

#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <string>

#include "absl/status/status.h"
#include "client/address.h"
#include "client/cli/option.h"
#include "client/cli/value.h"

namespace portreeve::cli {

void ListenFlags::AddTo(CLI::App& app) {
  AddOption(app, "--listen", "ADDRESS",
            "Where to listen: tcp:HOST:PORT, tcp:[IPV6]:PORT, unix:/path or "
            "unix:@name, an abstract socket; tcp: may be left out. HOST is an "
            "IP literal, localhost, or * or nothing for every IPv4 address; "
            "port 0 leaves the choice to the OS. Required",
            Into(where_,
                 [this](const std::string& text) {
                   return client::ParseWhereToListen(text, directory_);
                 }))
      ->required();
  auto* reuse = app.add_flag("--reuse-address", reuse_address_,
                             "Bind although old connections linger; the "
                             "default");
  app.add_flag("--no-reuse-address", no_reuse_address_, "The contrary")
      ->excludes(reuse);
  app.add_flag("--reuse-port", reuse_port_,
               "Share the port with other sockets that say the same");
  app.add_flag("--dual-stack", dual_stack_,
               "Accept IPv4 clients, too; for --listen tcp:[::]:PORT only");
  AddOption(app, "--bind-to-interface", "NAME",
            "Accept from this network interface only, like eth0",
            [this](const std::string& text) {
              bind_to_interface_ = text;
              return absl::OkStatus();
            });
  AddOption(app, "--mode", "OCTAL",
            "Permission bits of the unix socket's file; not for unix:@name. "
            "Default: 0660",
            Into(mode_, ParseMode));
}

absl::StatusOr<v1::WhereToListen> ListenFlags::Where() const {
  v1::WhereToListen where = where_;
  const bool of_tcp = reuse_address_ || no_reuse_address_ || reuse_port_ ||
                      dual_stack_ || bind_to_interface_.has_value();
  if (where.has_unix_socket()) {
    if (of_tcp) {
      return absl::InvalidArgumentError(
          "--reuse-address, --no-reuse-address, --reuse-port, --dual-stack and "
          "--bind-to-interface need --listen tcp:...");
    }
    if (mode_) where.mutable_unix_socket()->set_mode(*mode_);
    return where;
  }
  if (mode_) {
    return absl::InvalidArgumentError("--mode needs --listen unix:...");
  }
  v1::WhereToListen::Inet& inet = *where.mutable_inet();
  if (reuse_address_ || no_reuse_address_) {
    inet.set_reuse_address(reuse_address_);
  }
  inet.set_reuse_port(reuse_port_);
  inet.set_dual_stack(dual_stack_);
  if (bind_to_interface_) inet.set_bind_to_interface(*bind_to_interface_);
  return where;
}

}  // namespace portreeve::cli
