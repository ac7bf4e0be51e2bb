// What is asked over HTTP, what is answered, and who answers: plain values.
#ifndef PORTREEVE_SERVER_HTTP_HTTP_MESSAGE_H_
#define PORTREEVE_SERVER_HTTP_HTTP_MESSAGE_H_

#include <sys/socket.h>

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
  std::shared_ptr<const HttpPeer> peer;
};

struct HttpAnswer {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
  // Further headers, and those that take the place of what every answer has,
  // such as {"Cache-Control", "no-cache"}.
  std::vector<std::pair<std::string, std::string>> headers = {};
};

// Takes the answer to one request; a second one is ignored, and so is one that
// comes when the client is gone, or the server.
// Threads: any, at any time.
using HttpDone = std::function<void(HttpAnswer)>;

// Answers a request by calling `done`, in the call or later.  What it throws is
// answered with 500.  The request lives for the call.
// Threads: the server's; it must not block.
using HttpPage = std::function<void(const HttpRequest& request, HttpDone done)>;

// The pages by their paths.
using HttpPages = std::map<std::string, HttpPage>;

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HTTP_HTTP_MESSAGE_H_
