#include "server/page/page_files.h"

#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace portreeve::server {
namespace {

// Whether a list of If-None-Match has `etag` (RFC 9110, 13.1.2).
bool Has(absl::string_view list, absl::string_view etag) {
  for (absl::string_view part : absl::StrSplit(list, ',')) {
    part = absl::StripAsciiWhitespace(part);
    if (absl::StartsWith(part, "W/")) part.remove_prefix(2);
    if (part == etag || part == "*") return true;
  }
  return false;
}

}  // namespace

HttpPage PageOf(const PageFile& file) {
  return [file](const HttpRequest& request, HttpDone done) {
    HttpAnswer answer;
    answer.content_type = file.content_type;
    answer.headers = {{"Cache-Control", "no-cache"}, {"ETag", file.etag}};
    if (request.if_none_match && Has(*request.if_none_match, file.etag)) {
      answer.status = 304;
    } else {
      answer.body = std::string(file.bytes);
    }
    done(std::move(answer));
  };
}

}  // namespace portreeve::server
