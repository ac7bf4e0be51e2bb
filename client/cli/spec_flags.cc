#include "client/cli/spec_flags.h"

#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/option.h"
#include "client/cli/value.h"
#include "client/name.h"

namespace portreeve::cli {
namespace {

// What `update --unset` takes, and its path.
constexpr std::pair<const char*, const char*> kSettings[] = {
    {"max-connections", "spec.max_connections"},
    {"max-pending-connections", "spec.max_pending_connections"},
    {"max-accepts-per-batch", "spec.max_accepts_per_batch"},
    {"buffer-age-limit", "spec.buffer_age_limit"},
    {"on-handler-error", "spec.on_handler_error"},
    {"drop-incoming-connections", "spec.drop_incoming_connections"},
    {"labels", "spec.labels"},
    {"access-log", "spec.access_log"},
    {"access-log-every", "spec.access_log.every"},
};

absl::StatusOr<std::string> ParseSetting(const std::string& text) {
  for (const auto& [name, path] : kSettings) {
    if (text == name) return std::string(path);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "'", text, "': expected one of ", absl::StrJoin(SettingNames(), ", ")));
}

}  // namespace

std::vector<std::string> SettingNames() {
  std::vector<std::string> names;
  for (const auto& [name, path] : kSettings) names.emplace_back(name);
  return names;
}

void SettingFlags::AddLimitsTo(CLI::App& app) {
  AddOption(app, "--max-connections", "N",
            "The most connections at a time; more wait in the backlog. "
            "Default: 10000, or 90 % of the daemon's limit of descriptors",
            Into(max_connections_, ParseInt32));
  AddOption(
      app, "--max-pending-connections", "N",
      "The backlog: connections that wait to be accepted; the kernel cuts "
      "it to net.core.somaxconn, and get shows what is left. Default: "
      "4096",
      Into(max_pending_connections_, ParseInt32));
  AddOption(app, "--max-accepts-per-batch", "N",
            "The most connections accepted at one wake-up. Default: 1",
            Into(max_accepts_per_batch_, ParseInt32));
  AddOption(app, "--buffer-age-limit", "DURATION|unlimited",
            "How long bytes may wait for a peer that does not read, before "
            "its connection is closed. Default: 2m",
            Into(buffer_age_limit_, ParseBufferAgeLimit));
}

void SettingFlags::AddAccessLogTo(CLI::App& app) {
  AddOption(app, "--access-log", "off|on-close|on-open-and-close",
            "When a connection leaves a line in the daemon's access log, if it "
            "has one. Default: on-close",
            Into(access_log_, [](const std::string& text) {
              return ParseEnum<v1::AccessLogMode>(text);
            }));
  AddOption(app, "--access-log-every", "DURATION",
            "How often it leaves a line while it is open, too: 1s to 24h. "
            "Default: never",
            Into(access_log_every_, ParseProtoDuration));
}

void SettingFlags::AddTo(CLI::App& app) {
  AddLimitsTo(app);
  AddOption(app, "--on-handler-error", "raise|ignore|call",
            "When a handler raises: close the listener, go on, or ask the "
            "worker (of --remote). Default: raise",
            Into(on_handler_error_, [](const std::string& text) {
              return ParseEnum<v1::OnHandlerError>(text);
            }));
  auto* drop = app.add_flag("--drop-incoming-connections", drop_,
                            "Accept and close at once");
  app.add_flag("--no-drop-incoming-connections", no_drop_,
               "The contrary; the default")
      ->excludes(drop);
  AddRepeatedOption(app, "--label", "KEY=VALUE",
                    "A label, for your own use. update replaces all",
                    [this](const std::string& text) {
                      auto label = ParseLabel(text);
                      if (label.ok()) labels_.push_back(*std::move(label));
                      return label.status();
                    });
  AddAccessLogTo(app);
}

void SettingFlags::Fill(v1::ListenerSpec& spec,
                        std::vector<std::string>& paths) const {
  if (max_connections_) {
    spec.set_max_connections(*max_connections_);
    paths.push_back("spec.max_connections");
  }
  if (max_pending_connections_) {
    spec.set_max_pending_connections(*max_pending_connections_);
    paths.push_back("spec.max_pending_connections");
  }
  if (max_accepts_per_batch_) {
    spec.set_max_accepts_per_batch(*max_accepts_per_batch_);
    paths.push_back("spec.max_accepts_per_batch");
  }
  if (buffer_age_limit_) {
    *spec.mutable_buffer_age_limit() = *buffer_age_limit_;
    paths.push_back("spec.buffer_age_limit");
  }
  if (on_handler_error_) {
    spec.set_on_handler_error(*on_handler_error_);
    paths.push_back("spec.on_handler_error");
  }
  if (drop_ || no_drop_) {
    spec.set_drop_incoming_connections(drop_);
    paths.push_back("spec.drop_incoming_connections");
  }
  for (const auto& [key, value] : labels_)
    (*spec.mutable_labels())[key] = value;
  if (!labels_.empty()) paths.push_back("spec.labels");
  if (access_log_) {
    spec.mutable_access_log()->set_mode(*access_log_);
    paths.push_back("spec.access_log.mode");
  }
  if (access_log_every_) {
    *spec.mutable_access_log()->mutable_every() = *access_log_every_;
    paths.push_back("spec.access_log.every");
  }
}

CreateFlags::CreateFlags(std::string directory)
    : listen_(directory), handler_(directory) {}

void CreateFlags::AddTo(CLI::App& app) {
  AddOption(app, "ID", "",
            "Its name will be listeners/ID. Small letters, digits and '-', at "
            "most 63. Default: the daemon chooses",
            Into(id_, client::ListenerId));
  listen_.AddTo(app);
  handler_.AddTo(app);
  settings_.AddTo(app);
  app.add_option("--request-id", request_id_,
                 "Makes it safe to repeat the command: the same ID and "
                 "request again give the first answer")
      ->type_name("TEXT");
  app.add_flag("--validate-only", validate_only_,
               "Check everything, but create nothing");
}

absl::StatusOr<v1::CreateListenerRequest> CreateFlags::Request() const {
  v1::CreateListenerRequest request;
  request.set_listener_id(id_);
  request.set_request_id(request_id_);
  request.set_validate_only(validate_only_);
  v1::ListenerSpec& spec = *request.mutable_spec();
  absl::StatusOr<v1::WhereToListen> where = listen_.Where();
  if (!where.ok()) return where.status();
  *spec.mutable_where_to_listen() = *where;
  const absl::Status handler = handler_.FillNew(spec);
  if (!handler.ok()) return handler;
  std::vector<std::string> unused;
  settings_.Fill(spec, unused);
  return request;
}

UpdateFlags::UpdateFlags(const std::string& directory) : handler_(directory) {}

void UpdateFlags::AddTo(CLI::App& app) {
  AddOption(app, "LISTENER", "", "ID or listeners/ID. Required",
            Into(name_, client::ListenerName))
      ->required();
  handler_.AddTo(app);
  settings_.AddTo(app);
  AddRepeatedOption(app, "--unset", "FIELD",
                    "Back to the default: a flag above without its dashes, "
                    "like max-connections, or labels",
                    [this](const std::string& text) {
                      auto path = ParseSetting(text);
                      if (path.ok()) unset_.push_back(*std::move(path));
                      return path.status();
                    });
  app.add_flag("--validate-only", validate_only_,
               "Check everything, but change nothing; -o json shows the "
               "listener as it would be");
}

absl::StatusOr<v1::UpdateListenerRequest> UpdateFlags::Request() const {
  v1::UpdateListenerRequest request;
  v1::Listener& listener = *request.mutable_listener();
  listener.set_name(name_);
  request.set_validate_only(validate_only_);
  std::vector<std::string> paths;
  const absl::Status handler =
      handler_.FillChange(*listener.mutable_spec(), paths);
  if (!handler.ok()) return handler;
  settings_.Fill(*listener.mutable_spec(), paths);
  for (const std::string& path : unset_) {
    const auto is_within = [&path](const std::string& given) {
      return given == path || absl::StartsWith(given, path + ".");
    };
    if (absl::c_any_of(paths, is_within)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--unset and a value for ", path));
    }
  }
  paths.insert(paths.end(), unset_.begin(), unset_.end());
  if (paths.empty()) {
    return absl::InvalidArgumentError("nothing to change: give a flag");
  }
  request.mutable_update_mask()->mutable_paths()->Add(paths.begin(),
                                                      paths.end());
  return request;
}

}  // namespace portreeve::cli
