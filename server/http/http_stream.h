// HttpStream: the bytes of one client, with or without TLS.
#ifndef PORTREEVE_SERVER_HTTP_HTTP_STREAM_H_
#define PORTREEVE_SERVER_HTTP_HTTP_STREAM_H_

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "lib/base/asio.h"
#include "server/http/tls_context.h"

namespace portreeve::server {

// One operation at a time.
// Threads: loop thread only.
// Lifetime: it must outlive its operations.
class HttpStream {
 public:
  // Makes one on a connected socket; `tls` is null for one without TLS.
  static std::unique_ptr<HttpStream> Make(StreamSocket socket,
                                          std::shared_ptr<TlsContext> tls);
  virtual ~HttpStream() = default;
  HttpStream(const HttpStream&) = delete;
  HttpStream& operator=(const HttpStream&) = delete;

  // Must come first.  Gives the names of the client's certificate, if there is
  // TLS, which has proved them then.
  virtual Task<std::tuple<error_code, std::vector<std::string>>>
  Handshake() = 0;
  // Gives how many bytes were read to `space`, one at least unless there is an
  // error, such as the end of what the client sends.
  virtual Task<std::tuple<error_code, size_t>> Read(std::span<char> space) = 0;
  virtual Task<error_code> Write(std::string_view head,
                                 std::string_view body) = 0;
  // Says that nothing follows, and throws away what the client still sends, up
  // to its end, or an error, or `most` bytes: without that a client that sends
  // more than is read might lose the last that it was sent.
  virtual Task<> End(size_t most) = 0;

  // Ends the operation that runs with an error.
  void Cancel();
  // Does that too, and closes the socket, if that is not done; what was cut is
  // a reset to the client.
  void Reset();
  void Close();

 protected:
  HttpStream() = default;
  virtual StreamSocket& socket() = 0;

  // Sends FIN, and does what End() does below TLS.
  Task<> EndSocket(size_t most);
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HTTP_HTTP_STREAM_H_
