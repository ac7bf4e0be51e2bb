// The flags for Handler.
#ifndef PORTREEVE_CLIENT_CLI_HANDLER_FLAGS_H_
#define PORTREEVE_CLIENT_CLI_HANDLER_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/duration.pb.h"
#include "portreeve/v1/listener.pb.h"

namespace CLI {
class App;
}  // namespace CLI

namespace portreeve::cli {

// Lifetime: it must outlive the parsing.
class HandlerFlags {
 public:
  // Relative unix paths count from `directory`.
  explicit HandlerFlags(std::string directory)
      : directory_(std::move(directory)) {}
  HandlerFlags(const HandlerFlags&) = delete;
  HandlerFlags& operator=(const HandlerFlags&) = delete;

  void AddTo(CLI::App& app);

  // Sets the handler that was asked for, as a whole.
  //
  // Errors: INVALID_ARGUMENT unless exactly one handler was asked for, with its
  // own flags only.
  absl::Status FillNew(v1::ListenerSpec& spec) const;

  // Sets what was given, a handler as a whole or a timeout alone, and appends
  // its paths.
  //
  // Errors: INVALID_ARGUMENT where flags do not go together.
  absl::Status FillChange(v1::ListenerSpec& spec,
                          std::vector<std::string>& paths) const;

 private:
  int NumHandlers() const;
  absl::Status CheckNew() const;
  absl::Status CheckBindTo() const;

  const std::string directory_;
  bool echo_ = false;
  bool discard_ = false;
  bool remote_ = false;
  std::optional<v1::WhereToConnect> forward_;
  std::optional<google::protobuf::Duration> connect_timeout_;
  std::optional<google::protobuf::Duration> claim_timeout_;
  std::optional<std::string> bind_to_address_;
  std::optional<int32_t> bind_to_port_;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_HANDLER_FLAGS_H_
