#include "server/live/live_answers.h"

#include <google/protobuf/util/json_util.h>

#include <new>
#include <utility>

#include "server/api/errors.h"
#include "server/api/json_line.h"

namespace portreeve::server {
namespace {

constexpr char kJson[] = "application/json";

int HttpStatusOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
      return 503;
    default:
      return 500;
  }
}

}  // namespace

std::string JsonOf(const google::protobuf::Message& message) {
  std::string json;
  const auto written =
      google::protobuf::util::MessageToJsonString(message, &json);
  // All messages are ours, and their strings UTF-8.
  if (!written.ok()) json = "{}";
  return json;
}

HttpAnswer AnswerWith(const google::protobuf::Message& message) {
  return {200, JsonOf(message) + "\n", kJson};
}

HttpAnswer AnswerWith(const absl::Status& error) {
  const std::string code = absl::StatusCodeToString(error.code());
  const std::string reason = ReasonOf(error);
  return {
      HttpStatusOf(error.code()),
      JsonLine(
          {{"code", code}, {"reason", reason}, {"message", error.message()}}) +
          "\n",
      kJson};
}

HttpAnswer AnswerWith(std::shared_ptr<HttpFeed> feed) {
  HttpAnswer answer;
  answer.content_type = "text/event-stream";
  // Some proxies would keep it until there is much.
  answer.headers = {{"X-Accel-Buffering", "no"}};
  answer.feed = std::move(feed);
  return answer;
}

}  // namespace portreeve::server
