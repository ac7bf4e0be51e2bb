// Answers in JSON.
#ifndef PORTREEVE_SERVER_LIVE_LIVE_ANSWERS_H_
#define PORTREEVE_SERVER_LIVE_LIVE_ANSWERS_H_

#include <google/protobuf/message.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "server/http/http_message.h"

namespace portreeve::server {

// Gives protobuf's JSON of `message`, on one line, without what has its
// default.
std::string JsonOf(const google::protobuf::Message& message);

// Answers 200 with the JSON of `message`.
HttpAnswer AnswerWith(const google::protobuf::Message& message);

// Answers 400, 404, 503 or 500 with {"code":"INVALID_ARGUMENT",
// "reason":"INVALID_FIELD","message":"..."}: what gRPC's clients are told.
HttpAnswer AnswerWith(const absl::Status& error);

// Answers with a stream of server-sent events.
HttpAnswer AnswerWith(std::shared_ptr<HttpFeed> feed);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_LIVE_LIVE_ANSWERS_H_
