#include "server/http/answer_head.h"

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/write.hpp>
#include <sstream>

namespace portreeve::server {
namespace {

namespace http = boost::beast::http;

// A page can show what this port has, and load or send nothing else.
constexpr char kContentSecurityPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src "
    "'self'; frame-ancestors 'none'";

std::string DateText(absl::Time now) {
  return absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", now,
                          absl::UTCTimeZone());
}

}  // namespace

std::string AnswerHead(const HttpAnswer& answer, int version, bool keep_alive,
                       absl::Time now) {
  http::response<http::empty_body> head;
  head.version(static_cast<unsigned>(version));
  head.result(static_cast<unsigned>(answer.status));
  head.set(http::field::date, DateText(now));
  head.set(http::field::content_type, answer.content_type);
  head.set(http::field::cache_control, "no-store");
  head.set("Content-Security-Policy", kContentSecurityPolicy);
  head.set("X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : answer.headers) head.set(name, value);
  if (answer.status == 405) head.set(http::field::allow, "GET, HEAD");
  // That of 304 would be the length of what is not sent; a stream has none.
  if (answer.status != 304 && answer.feed == nullptr) {
    head.content_length(answer.body.size());
  }
  head.keep_alive(keep_alive);
  std::ostringstream text;
  text << head.base();
  return text.str();
}

}  // namespace portreeve::server
