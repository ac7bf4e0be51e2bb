// The flags for WhereToListen.
#ifndef PORTREEVE_CLIENT_CLI_LISTEN_FLAGS_H_
#define PORTREEVE_CLIENT_CLI_LISTEN_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "portreeve/v1/listener.pb.h"

namespace CLI {
class App;
}  // namespace CLI

namespace portreeve::cli {

// Lifetime: it must outlive the parsing.
class ListenFlags {
 public:
  // Relative unix paths count from `directory`.
  explicit ListenFlags(std::string directory)
      : directory_(std::move(directory)) {}
  ListenFlags(const ListenFlags&) = delete;
  ListenFlags& operator=(const ListenFlags&) = delete;

  void AddTo(CLI::App& app);

  // Gives what the flags say.
  //
  // Errors: INVALID_ARGUMENT for a flag of the other kind of address.
  absl::StatusOr<v1::WhereToListen> Where() const;

 private:
  const std::string directory_;
  v1::WhereToListen where_;
  bool reuse_address_ = false;
  bool no_reuse_address_ = false;
  bool reuse_port_ = false;
  bool dual_stack_ = false;
  std::optional<std::string> bind_to_interface_;
  std::optional<int32_t> mode_;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_LISTEN_FLAGS_H_
