#include "lib/base/status.h"

#include <gtest/gtest.h>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <set>
#include <stdexcept>
#include <string>

namespace portreeve {
namespace {

using Code = absl::StatusCode;

TEST(StatusTest, ErrorsCarryTheirDetail) {
  ErrorDetail detail;
  detail.reason = Reason::kConnectTimeout;
  detail.error_number = ETIMEDOUT;
  detail.address = "tcp:127.0.0.1:80";
  detail.field = "forward.address";
  const absl::Status status =
      MakeError(Code::kDeadlineExceeded, detail, "too late");
  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  EXPECT_EQ(status.message(), "too late");
  const ErrorDetail got = DetailOf(status);
  EXPECT_EQ(got.reason, detail.reason);
  EXPECT_EQ(got.error_number, detail.error_number);
  EXPECT_EQ(got.address, detail.address);
  EXPECT_EQ(got.field, detail.field);
}

TEST(StatusTest, AStatusFromElsewhereHasNoDetail) {
  const ErrorDetail detail = DetailOf(absl::InternalError("?"));
  EXPECT_EQ(detail.reason, Reason::kNone);
  EXPECT_EQ(detail.error_number, 0);
  EXPECT_EQ(detail.address, "");
  EXPECT_EQ(detail.field, "");
}

TEST(StatusTest, InvalidFieldNamesIt) {
  const absl::Status status = InvalidField("port", "must be 1-65535");
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_EQ(status.message(), "port: must be 1-65535");
  EXPECT_EQ(DetailOf(status).field, "port");
  EXPECT_EQ(DetailOf(status).reason, Reason::kInvalidField);
}

TEST(StatusTest, TheMapFromErrno) {
  const struct {
    int error_number;
    const char* operation;
    Code code;
    Reason reason;
  } kCases[] = {
      {EADDRINUSE, "bind", Code::kFailedPrecondition, Reason::kAddressInUse},
      {EACCES, "bind", Code::kPermissionDenied, Reason::kBindNotPermitted},
      {EACCES, "connect", Code::kPermissionDenied, Reason::kOther},
      {EADDRNOTAVAIL, "bind", Code::kInvalidArgument,
       Reason::kAddressNotAvailable},
      {EADDRNOTAVAIL, "connect", Code::kUnavailable, Reason::kNoRoute},
      {ENOTSOCK, "bind", Code::kFailedPrecondition, Reason::kNotASocket},
      {ECONNREFUSED, "connect", Code::kUnavailable, Reason::kConnectRefused},
      {ENOENT, "connect", Code::kUnavailable, Reason::kConnectRefused},
      {ENOENT, "bind", Code::kFailedPrecondition, Reason::kNoSuchPath},
      {ENOTDIR, "connect", Code::kUnavailable, Reason::kConnectRefused},
      {ENOTDIR, "bind", Code::kFailedPrecondition, Reason::kNoSuchPath},
      {ELOOP, "bind", Code::kInvalidArgument, Reason::kInvalidField},
      {EHOSTUNREACH, "connect", Code::kUnavailable, Reason::kNoRoute},
      {ENETUNREACH, "connect", Code::kUnavailable, Reason::kNoRoute},
      {ETIMEDOUT, "connect", Code::kDeadlineExceeded, Reason::kConnectTimeout},
      {EMFILE, "socket", Code::kResourceExhausted, Reason::kFdLimit},
      {ENFILE, "socket", Code::kResourceExhausted, Reason::kFdLimit},
  };
  for (const auto& c : kCases) {
    const absl::Status status = ErrnoError(c.error_number, c.operation, "ADDR");
    EXPECT_EQ(status.code(), c.code) << status;
    EXPECT_EQ(DetailOf(status).reason, c.reason) << status;
    EXPECT_EQ(DetailOf(status).error_number, c.error_number);
    EXPECT_EQ(DetailOf(status).address, "ADDR");
  }
  EXPECT_EQ(ErrnoError(EPIPE, "write", "tcp:127.0.0.1:80").message(),
            "write tcp:127.0.0.1:80: Broken pipe");
}

TEST(StatusTest, EveryReasonHasANameOfItsOwn) {
  std::set<std::string> names;
  for (int i = 0; i <= static_cast<int>(Reason::kOther); ++i) {
    const std::string name(ReasonName(static_cast<Reason>(i)));
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_EQ(name.empty(), i == 0);
  }
}

TEST(StatusTest, StatusOfWhatWasThrown) {
  const absl::Status error = absl::NotFoundError("gone");
  EXPECT_EQ(StatusOf(std::make_exception_ptr(StatusError(error))), error);
  EXPECT_STREQ(StatusError(error).what(), "gone");
  const boost::system::system_error aborted(
      boost::asio::error::operation_aborted);
  EXPECT_EQ(StatusOf(std::make_exception_ptr(aborted)).code(),
            Code::kCancelled);
  const absl::Status other =
      StatusOf(std::make_exception_ptr(std::runtime_error("boom")));
  EXPECT_EQ(other.code(), Code::kUnknown);
  EXPECT_EQ(other.message(), "boom");
}

}  // namespace
}  // namespace portreeve
