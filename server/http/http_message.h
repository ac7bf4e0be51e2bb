// What is asked over HTTP, what is answered, and who answers: plain values.
#ifndef PORTREEVE_SERVER_HTTP_HTTP_MESSAGE_H_
#define PORTREEVE_SERVER_HTTP_HTTP_MESSAGE_H_

#include <sys/socket.h>

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace portreeve::server {

// The client, as its connection shows it.
struct HttpPeer {
  // Whether it has shown a certificate that is good, and its names: the common
  // name first, then the alternative ones.
  bool is_secure = false;
  std::vector<std::string> names;
  // Of a unix socket's peer, as it was when it connected; and its supplementary
  // groups.
  std::optional<ucred> credentials;
  std::vector<gid_t> groups;
};

// A request that keeps the rules of the port: GET or HEAD, without a body.
struct HttpRequest {
  std::string path;  // As it is written: "/metrics".
  // What stands behind the "?", decoded, in its order: {"listener", "web"}.
  std::vector<std::pair<std::string, std::string>> query;
  int version = 11;  // 10 or 11.
  bool is_head = false;
  bool keep_alive = true;
  // What the client takes for the name of this server: "localhost:9464"; none
  // where a request of HTTP/1.0 has none.
  std::optional<std::string> host;
  // What the client has already, as the header of that name says.
  std::optional<std::string> if_none_match;
  // The id of the last event of a stream that the client has.
  std::optional<std::string> last_event_id;
  std::shared_ptr<const HttpPeer> peer;
};

// Where the bytes of a stream go.
// Threads: the server's.
class HttpSink {
 public:
  virtual ~HttpSink() = default;

  // Sends `piece` after those before it; many streams may have the same one.
  // Where others wait, and more than FeedWriter::kMostWaiting would with it,
  // the client, who does not read, is reset instead.  It calls nothing.
  virtual void Put(std::shared_ptr<const std::string> piece) = 0;
  // Gives how many bytes have been put that the kernel has not taken.
  virtual size_t waiting() const = 0;
  // Ends the stream after what was put; what is put then is not sent.
  virtual void End() = 0;
};

// The body of an answer that goes on for as long as the client stays.
// Threads: the server's.
class HttpFeed {
 public:
  virtual ~HttpFeed() = default;

  // The client is there, and has the head of the answer.  It may be never
  // called.
  virtual void Start(HttpSink& sink) = 0;
  // The kernel has taken all that was put.  It must not throw.
  virtual void OnDrained() = 0;
  // The client has left, or the server ends: the sink is no more.  It is the
  // last call after Start(), even if that has thrown, and must not throw.
  virtual void Stop() = 0;
};

struct HttpAnswer {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
  // Further headers, and those that take the place of what every answer has,
  // such as {"Cache-Control", "no-cache"}.
  std::vector<std::pair<std::string, std::string>> headers = {};
  // The body, in place of `body`; the connection ends with it.
  std::shared_ptr<HttpFeed> feed = nullptr;
};

// Takes the answer to one request; a second one is ignored, and so is one that
// comes when the client is gone, or the server.
// Threads: any, at any time.
using HttpDone = std::function<void(HttpAnswer)>;

// Answers a request by calling `done`, in the call or later.  What it throws is
// answered with 500.  The request lives for the call.
// Threads: the server's; it must not block.
using HttpPage = std::function<void(const HttpRequest& request, HttpDone done)>;

// The pages by their paths.  One whose path ends with "/" is also that of all
// paths that begin so and have no "/" after it, unless it is "/" itself.
using HttpPages = std::map<std::string, HttpPage>;

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HTTP_HTTP_MESSAGE_H_
