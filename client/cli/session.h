// What a verb has while it runs.
#ifndef PORTREEVE_CLIENT_CLI_SESSION_H_
#define PORTREEVE_CLIENT_CLI_SESSION_H_

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "client/call_options.h"
#include "client/canceller.h"
#include "client/cli/global_options.h"
#include "client/client.h"
#include "google/protobuf/message.h"

namespace portreeve::cli {

struct Session {
  client::Client& client;
  const GlobalOptions& options;  // Complete() has filled it in.
  std::ostream& out;
  std::ostream& err;
  // The descriptors that attach and dial copy.
  int input;
  int output;
  // What ends the calls below; null where nothing does.
  client::Canceller* canceller = nullptr;

  // Gives the options of calls that the daemon answers at once.
  client::CallOptions Ordinary() const;

  // Gives the options of calls whose purpose is to wait.
  client::CallOptions Waiting() const;

  // Writes `message` as one line of JSON, or `text` as it is, whichever the
  // user wants, and flushes.
  //
  // Errors: DATA_LOSS where that cannot be written.
  absl::Status Print(const google::protobuf::Message& message,
                     const std::string& text) const;

  // Does the same for what has no text.
  absl::Status PrintJson(const google::protobuf::Message& message) const;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_SESSION_H_
