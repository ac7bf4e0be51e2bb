// AccessLog: the lines that connections leave in the daemon's access log.
#ifndef PORTREEVE_SERVER_REGISTRY_ACCESS_LOG_H_
#define PORTREEVE_SERVER_REGISTRY_ACCESS_LOG_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/events/access_line.h"
#include "server/registry/connection_table.h"

namespace portreeve::server {

// Threads: loop thread only.
class AccessLog {
 public:
  // Takes a line without a line feed; nullopt is one for which there was no
  // memory.  It must not wait for whoever reads it.
  using Write = std::function<void(std::optional<std::string_view> line)>;

  // Lines show those labels of listeners that have one of `label_keys`, in
  // their order.
  AccessLog(std::vector<std::string> label_keys, Write write)
      : label_keys_(std::move(label_keys)), write_(std::move(write)) {}
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // Writes the line of `event`, which happened when `connection` was closed, or
  // else created; of kAlive now.
  void Tell(AccessEvent event, const AnyConnection& connection,
            const ConnectionFacts& facts, absl::string_view listener_id = "",
            absl::string_view labels = "");

  const std::vector<std::string>& label_keys() const { return label_keys_; }

 private:
  const std::vector<std::string> label_keys_;
  const Write write_;
  AccessLine line_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_ACCESS_LOG_H_
