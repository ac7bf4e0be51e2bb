// The flags that say what a listener shall be: one for each field of
// ListenerSpec and of the messages in it.
#ifndef PORTREEVE_CLIENT_CLI_SPEC_FLAGS_H_
#define PORTREEVE_CLIENT_CLI_SPEC_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/handler_flags.h"
#include "client/cli/listen_flags.h"
#include "google/protobuf/duration.pb.h"
#include "portreeve/v1/listener.pb.h"

namespace CLI {
class App;
}  // namespace CLI

namespace portreeve::cli {

// Gives what --unset takes, in the order of --help.
std::vector<std::string> SettingNames();

// The flags that `create` and `update` share.
// Lifetime: it must outlive the parsing.
class SettingFlags {
 public:
  SettingFlags() = default;
  SettingFlags(const SettingFlags&) = delete;
  SettingFlags& operator=(const SettingFlags&) = delete;

  void AddTo(CLI::App& app);

  // Sets the fields whose flags were given, and appends their paths.
  void Fill(v1::ListenerSpec& spec, std::vector<std::string>& paths) const;

 private:
  void AddLimitsTo(CLI::App& app);
  void AddAccessLogTo(CLI::App& app);

  std::optional<int32_t> max_connections_;
  std::optional<int32_t> max_pending_connections_;
  std::optional<int32_t> max_accepts_per_batch_;
  std::optional<v1::BufferAgeLimit> buffer_age_limit_;
  std::optional<v1::OnHandlerError> on_handler_error_;
  bool drop_ = false;
  bool no_drop_ = false;
  std::vector<std::pair<std::string, std::string>> labels_;
  std::optional<v1::AccessLogMode> access_log_;
  std::optional<google::protobuf::Duration> access_log_every_;
};

// The flags of `create`.
// Lifetime: it must outlive the parsing.
class CreateFlags {
 public:
  explicit CreateFlags(std::string directory);

  void AddTo(CLI::App& app);

  // Errors: INVALID_ARGUMENT where flags do not go together.
  absl::StatusOr<v1::CreateListenerRequest> Request() const;

 private:
  std::string id_;
  std::string request_id_;
  bool validate_only_ = false;
  ListenFlags listen_;
  HandlerFlags handler_;
  SettingFlags settings_;
};

// The flags of `update`: the mask has the fields that were given, and no
// others.
// Lifetime: it must outlive the parsing.
class UpdateFlags {
 public:
  explicit UpdateFlags(const std::string& directory);

  void AddTo(CLI::App& app);

  // Errors: INVALID_ARGUMENT where flags do not go together, or none was given.
  absl::StatusOr<v1::UpdateListenerRequest> Request() const;

 private:
  std::string name_;
  std::vector<std::string> unset_;  // Paths.
  bool validate_only_ = false;
  HandlerFlags handler_;
  SettingFlags settings_;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_SPEC_FLAGS_H_
