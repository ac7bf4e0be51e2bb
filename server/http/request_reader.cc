#include "server/http/request_reader.h"

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace portreeve::server {
namespace {

namespace http = boost::beast::http;

using Header = http::request<http::empty_body>;

// How much is read at a time, at most.
constexpr size_t kReadBytes = 2 * 1024;

RequestReader::Refused Refuse(int status, const std::string& why) {
  return {{status, absl::StrCat(why, "\n")}};
}

// Gives the value of "%4c" and the like, and a blank for "+"; nothing where a
// "%" has no two digits behind it.
std::optional<std::string> Decode(absl::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    const absl::string_view digits = text.substr(i + 1, 2);
    if (digits.size() != 2 ||
        !std::all_of(digits.begin(), digits.end(), absl::ascii_isxdigit)) {
      return std::nullopt;
    }
    decoded += absl::HexStringToBytes(digits);
    i += 2;
  }
  return decoded;
}

// Gives false where it cannot be decoded.
bool SetQuery(absl::string_view text, HttpRequest& request) {
  for (const absl::string_view part :
       absl::StrSplit(text, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    auto key = Decode(pair.first);
    auto value = Decode(pair.second);
    if (!key || !value) return false;
    request.query.emplace_back(*std::move(key), *std::move(value));
  }
  return true;
}

// Splits what stands between the method and the version, which may name the
// host, too (RFC 9112, 3.2.2).  Gives false where it is neither a path nor
// that.
bool SetTarget(absl::string_view target, HttpRequest& request) {
  bool names_host = false;
  for (const absl::string_view scheme : {"http://", "https://"}) {
    if (!absl::StartsWithIgnoreCase(target, scheme)) continue;
    names_host = true;
    target.remove_prefix(scheme.size());
    const size_t end = std::min(target.find_first_of("/?"), target.size());
    request.host = std::string(target.substr(0, end));
    target.remove_prefix(end);
    break;
  }
  const size_t mark = std::min(target.find('?'), target.size());
  request.path = std::string(target.substr(0, mark));
  if (request.path.empty() && names_host) request.path = "/";
  if (request.path.empty() || request.path.front() != '/') return false;
  return SetQuery(target.substr(std::min(mark + 1, target.size())), request);
}

RequestReader::Next OfError(boost::system::error_code error) {
  if (error == http::error::bad_version) {
    return Refuse(505, "this port speaks HTTP/1.1 and HTTP/1.0");
  }
  if (error == http::error::body_limit) {
    return Refuse(413, "a request has no body here");
  }
  return Refuse(400, absl::StrCat("this is no request: ", error.message()));
}

RequestReader::Next OfHeader(const Header& header, bool keep_alive) {
  const auto refuse = [&](int status, const char* why) {
    RequestReader::Refused refused = Refuse(status, why);
    refused.version = static_cast<int>(header.version());
    refused.is_head = header.method() == http::verb::head;
    return refused;
  };
  HttpRequest request;
  request.version = static_cast<int>(header.version());
  request.keep_alive = keep_alive;
  request.is_head = header.method() == http::verb::head;
  const auto hosts = header.equal_range(http::field::host);
  const auto num_hosts = std::distance(hosts.first, hosts.second);
  if (num_hosts > 1 || (num_hosts == 0 && request.version == 11)) {
    return refuse(400, "a request has one Host");
  }
  if (num_hosts == 1) request.host = std::string(hosts.first->value());
  const auto has = header.find(http::field::if_none_match);
  if (has != header.end()) request.if_none_match = std::string(has->value());
  const auto last = header.find("Last-Event-ID");
  if (last != header.end()) request.last_event_id = std::string(last->value());
  if (!request.is_head && header.method() != http::verb::get) {
    return refuse(405, "this port only answers GET and HEAD");
  }
  const auto target = header.target();
  if (!SetTarget({target.data(), target.size()}, request)) {
    return refuse(400, "the target is not like /path?key=value");
  }
  return request;
}

bool HasLfAlone(std::string_view text) {
  for (size_t lf = text.find('\n'); lf != text.npos;
       lf = text.find('\n', lf + 1)) {
    if (lf == 0 || text[lf - 1] != '\r') return true;
  }
  return false;
}

RequestReader::Next Parse(std::string_view header) {
  if (HasLfAlone(header)) {
    return Refuse(400, "this is no request: lines end with CR and LF");
  }
  http::request_parser<http::empty_body> parser;
  parser.header_limit(RequestReader::kMaxHeaderBytes + 1);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(header.data(), header.size()), error);
  if (error) return OfError(error);
  if (!parser.is_header_done()) {
    return Refuse(400, "this is no request: its header has no end");
  }
  auto next = OfHeader(parser.get(), parser.keep_alive());
  const auto length = parser.content_length();
  // Beast takes a coding that is not "chunked" for none; the body of such a
  // request would be read as the next one.
  const bool has_body =
      parser.get().find(http::field::transfer_encoding) != parser.get().end() ||
      (length && *length > 0);
  const auto* const request = std::get_if<HttpRequest>(&next);
  if (!has_body || request == nullptr) return next;
  RequestReader::Refused refused = Refuse(413, "a request has no body here");
  refused.version = request->version;
  refused.is_head = request->is_head;
  return refused;
}

// Gives where the header ends that begins with `text`, behind the empty line;
// nothing where it does not.  It may begin to look at `from`.  A line may end
// with LF alone here, which Parse() refuses.
std::optional<size_t> EndOfHeader(std::string_view text, size_t from) {
  for (size_t lf = text.find('\n', from); lf != text.npos;
       lf = text.find('\n', lf + 1)) {
    const std::string_view rest = text.substr(lf + 1, 2);
    if (!rest.empty() && rest.front() == '\n') return lf + 2;
    if (rest == "\r\n") return lf + 3;
  }
  return std::nullopt;
}

}  // namespace

std::span<char> RequestReader::Space() {
  const size_t size = std::min(used_ + kReadBytes, kMaxHeaderBytes);
  if (buffer_.size() < size) buffer_.resize(size);
  return std::span<char>(buffer_).subspan(used_);
}

void RequestReader::Add(size_t count) { used_ += count; }

void RequestReader::Skip(size_t count) {
  buffer_.erase(0, count);
  used_ -= count;
  searched_ = 0;
  if (used_ == 0) buffer_ = std::string();
}

RequestReader::Next RequestReader::Take() {
  // Empty lines before a request are to be ignored (RFC 9112, 2.2).
  while (std::string_view(buffer_).substr(0, std::min<size_t>(used_, 2)) ==
         "\r\n") {
    Skip(2);
  }
  const std::string_view text(buffer_.data(), used_);
  const auto end = EndOfHeader(text, searched_);
  if (!end) {
    if (used_ >= kMaxHeaderBytes) {
      return Refuse(431, absl::StrCat("a header has at most ", kMaxHeaderBytes,
                                      " bytes here"));
    }
    searched_ = used_ - std::min<size_t>(used_, 3);
    return NeedsMore();
  }
  Next next = Parse(text.substr(0, *end));
  Skip(*end);
  return next;
}

}  // namespace portreeve::server
