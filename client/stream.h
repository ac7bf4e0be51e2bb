// A connection whose bytes come over gRPC: what Client::Attach and Client::Dial
// give.
#ifndef PORTREEVE_CLIENT_STREAM_H_
#define PORTREEVE_CLIENT_STREAM_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/call_options.h"
#include "portreeve/v1/connection.pb.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace portreeve::client {

// A stream is like a socket: it carries bytes and an end (FIN) each way,
// independently.
//
// A stream that is destroyed or cancelled before Read gave `closed` resets the
// connection, so that cut data never looks whole: say Done for an orderly end,
// and read on until `closed`.
//
// An upgrade of the daemon shows in nothing but a pause: the stream goes on
// with the daemon's next process, and what is sent or read meanwhile waits.  It
// is the thread that reads which takes it there; while none reads, the former
// process serves the connection, for as long as the upgrade lets it.
//
// Threads: one reads while others send; what several send at once does not mix,
// but its order is open.  Any may cancel.
// Lifetime: it may outlive the Client.
class Stream {
 public:
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;
  // Cancels.  No call may be under way.
  ~Stream();

  // The connection as it was when the client got it.
  const v1::Connection& connection() const;

  // Sends any number of bytes.  It waits while the daemon takes no more, as is
  // so while the peer does not read.
  //
  // Errors, of every method that sends: FAILED_PRECONDITION after SendEof (for
  // Send and SendEof), after Done, Reset or Raise, and once the stream has
  // ended; Read gives the reason for that.
  absl::Status Send(absl::string_view bytes);

  // Sends FIN, after what was sent.
  absl::Status SendEof();

  // Ends the handler: what was sent is flushed, then FIN is sent, then the
  // connection is closed.
  absl::Status Done();

  // Sends RST at once.
  absl::Status Reset();

  // Ends the handler, which has failed: the daemon does what it does after
  // Done, and then what the listener's `on_handler_error` says.
  absl::Status Raise(const std::string& message);

  // Waits for what comes next: `data` (never empty), `eof`, which says whether
  // it is the peer's FIN or its reset, or `closed` with its reason, which is
  // the last and is given again ever after.  A thread that does not read holds
  // up the peer.
  //
  // Errors: CANCELLED after Cancel; DEADLINE_EXCEEDED after the timeout;
  // UNAVAILABLE where the connection to the daemon broke; INVALID_ARGUMENT for
  // a frame that the daemon refused; what Client::Attach gives, like NOT_FOUND,
  // where the daemon's next process does not have the connection; the same ever
  // after.
  absl::StatusOr<v1::ServerFrame> Read();

  // Breaks the stream; calls that wait end at once.  Idempotent.
  void Cancel();

 private:
  friend class Client;
  class Impl;

  static absl::StatusOr<Stream> Attach(
      const std::shared_ptr<grpc::Channel>& channel,
      const std::string& connection, const CallOptions& options);
  static absl::StatusOr<Stream> Dial(
      const std::shared_ptr<grpc::Channel>& channel,
      const v1::ClientFrame::Dial& dial, const CallOptions& options);
  static absl::StatusOr<Stream> Open(
      const std::shared_ptr<grpc::Channel>& channel,
      const v1::ClientFrame& first, const CallOptions& options);

  explicit Stream(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;  // Null only after a move.
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_STREAM_H_
