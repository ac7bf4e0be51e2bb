// What stands before the body of an answer of HTTP.
#ifndef PORTREEVE_SERVER_HTTP_ANSWER_HEAD_H_
#define PORTREEVE_SERVER_HTTP_ANSWER_HEAD_H_

#include <string>

#include "absl/time/time.h"
#include "server/http/http_message.h"

namespace portreeve::server {

// Gives the status line and the header, with the length of the body, and what
// keeps browsers from doing with it what is not meant.  `version` is that of
// the request; `keep_alive` says whether the connection goes on.
std::string AnswerHead(const HttpAnswer& answer, int version, bool keep_alive,
                       absl::Time now);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HTTP_ANSWER_HEAD_H_
