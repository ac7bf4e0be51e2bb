#include "server/http/answer_head.h"

#include <gtest/gtest.h>

namespace portreeve::server {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(784111777);

TEST(AnswerHeadTest, HasAllThatABrowserIsToldAlways) {
  EXPECT_EQ(AnswerHead({200, "ok\n"}, 11, true, kNow),
            "HTTP/1.1 200 OK\r\n"
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            "Cache-Control: no-store\r\n"
            "Content-Security-Policy: default-src 'none'; script-src 'self'; "
            "style-src 'self'; connect-src 'self'; frame-ancestors 'none'\r\n"
            "X-Content-Type-Options: nosniff\r\n"
            "Content-Length: 3\r\n"
            "\r\n");
}

TEST(AnswerHeadTest, SaysWhatIsNotTheVersionsDefault) {
  const auto has = [](int version, bool keep_alive, const char* line) {
    const std::string head = AnswerHead({404, ""}, version, keep_alive, kNow);
    return head.find(line) != head.npos;
  };
  EXPECT_FALSE(has(11, true, "Connection:"));
  EXPECT_TRUE(has(11, false, "Connection: close\r\n"));
  EXPECT_TRUE(has(10, true, "Connection: keep-alive\r\n"));
  EXPECT_FALSE(has(10, false, "Connection:"));
  EXPECT_TRUE(has(10, false, "HTTP/1.0 404 Not Found\r\n"));
  EXPECT_TRUE(has(11, true, "Content-Length: 0\r\n"));
}

TEST(AnswerHeadTest, AnAnswersOwnHeadersTakeThePlaceOfOthers) {
  HttpAnswer answer{200, "ok\n"};
  answer.headers = {{"Cache-Control", "no-cache"}, {"ETag", "\"a\""}};
  const std::string head = AnswerHead(answer, 11, true, kNow);
  EXPECT_NE(head.find("\r\nCache-Control: no-cache\r\n"), head.npos);
  EXPECT_NE(head.find("\r\nETag: \"a\"\r\n"), head.npos);
  EXPECT_EQ(head.find("no-store"), head.npos);
}

TEST(AnswerHeadTest, NothingIsSaidOfTheLengthOfWhatTheClientHas) {
  const std::string head = AnswerHead({304, ""}, 11, true, kNow);
  EXPECT_EQ(head.find("Content-Length"), head.npos);
  EXPECT_EQ(head.rfind("HTTP/1.1 304 Not Modified\r\n", 0), 0u);
}

TEST(AnswerHeadTest, ARefusedMethodIsToldWhichThereAre) {
  const std::string head = AnswerHead({405, ""}, 11, false, kNow);
  EXPECT_NE(head.find("Allow: GET, HEAD\r\n"), head.npos);
}

}  // namespace
}  // namespace portreeve::server
