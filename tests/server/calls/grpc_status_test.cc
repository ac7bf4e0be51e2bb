// The one map from errors to gRPC, row by row.
#include "server/calls/grpc_status.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "lib/base/status.h"
#include "server/api/errors.h"

namespace portreeve::server {
namespace {

constexpr char kAddress[] = "tcp:127.0.0.1:80";

google::rpc::Status DetailsOf(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), static_cast<int>(status.error_code()));
  EXPECT_EQ(details.message(), status.error_message());
  return details;
}

google::rpc::ErrorInfo InfoOf(const grpc::Status& status) {
  const google::rpc::Status details = DetailsOf(status);
  google::rpc::ErrorInfo info;
  int count = 0;
  for (const auto& detail : details.details()) {
    if (detail.UnpackTo(&info)) ++count;
  }
  EXPECT_EQ(count, 1);
  EXPECT_EQ(info.domain(), "portreeve");
  return info;
}

TEST(GrpcStatusTest, AFailedUpgradeNamesItsStep) {
  const grpc::Status status = ToGrpc(UpgradeFailed("ready", "no memory"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  const google::rpc::ErrorInfo info = InfoOf(status);
  EXPECT_EQ(info.reason(), "UPGRADE_FAILED");
  ASSERT_EQ(info.metadata().size(), 1);
  EXPECT_EQ(info.metadata().at("step"), "ready");
}

TEST(GrpcStatusTest, ErrnoOfListening) {
  struct Row {
    int error_number;
    const char* name;
    grpc::StatusCode code;
    const char* reason;
  };
  using grpc::StatusCode;
  for (const Row& row : {
           Row{EADDRINUSE, "EADDRINUSE", StatusCode::FAILED_PRECONDITION,
               "ADDRESS_IN_USE"},
           Row{EACCES, "EACCES", StatusCode::PERMISSION_DENIED,
               "BIND_NOT_PERMITTED"},
           Row{EPERM, "EPERM", StatusCode::PERMISSION_DENIED,
               "BIND_NOT_PERMITTED"},
           Row{EADDRNOTAVAIL, "EADDRNOTAVAIL", StatusCode::INVALID_ARGUMENT,
               "ADDRESS_NOT_AVAILABLE"},
           Row{EAFNOSUPPORT, "EAFNOSUPPORT", StatusCode::INVALID_ARGUMENT,
               "ADDRESS_NOT_AVAILABLE"},
           Row{ENOTSOCK, "ENOTSOCK", StatusCode::FAILED_PRECONDITION,
               "NOT_A_SOCKET"},
           Row{EMFILE, "EMFILE", StatusCode::RESOURCE_EXHAUSTED, "FD_LIMIT"},
           Row{ENFILE, "ENFILE", StatusCode::RESOURCE_EXHAUSTED, "FD_LIMIT"},
           Row{ENOENT, "ENOENT", StatusCode::FAILED_PRECONDITION,
               "NO_SUCH_PATH"},
       }) {
    const grpc::Status status =
        ToGrpc(ErrnoError(row.error_number, "bind", kAddress));
    EXPECT_EQ(status.error_code(), row.code) << row.name;
    const google::rpc::ErrorInfo info = InfoOf(status);
    EXPECT_EQ(info.reason(), row.reason) << row.name;
    EXPECT_EQ(info.metadata().at("errno"), std::to_string(row.error_number));
    EXPECT_EQ(info.metadata().at("errno_name"), row.name);
    EXPECT_EQ(info.metadata().at("address"), kAddress);
  }
}

TEST(GrpcStatusTest, ErrnoOfConnecting) {
  struct Row {
    int error_number;
    grpc::StatusCode code;
    const char* reason;
  };
  using grpc::StatusCode;
  for (const Row& row : {
           Row{ECONNREFUSED, StatusCode::UNAVAILABLE, "CONNECT_REFUSED"},
           Row{EHOSTUNREACH, StatusCode::UNAVAILABLE, "NO_ROUTE"},
           Row{ENETUNREACH, StatusCode::UNAVAILABLE, "NO_ROUTE"},
           Row{ETIMEDOUT, StatusCode::DEADLINE_EXCEEDED, "CONNECT_TIMEOUT"},
           Row{EMFILE, StatusCode::RESOURCE_EXHAUSTED, "FD_LIMIT"},
       }) {
    const grpc::Status status =
        ToGrpc(ErrnoError(row.error_number, "connect", kAddress));
    EXPECT_EQ(status.error_code(), row.code) << row.reason;
    EXPECT_EQ(InfoOf(status).reason(), row.reason);
  }
}

TEST(GrpcStatusTest, AWrongFieldIsNamedOnceInItsViolation) {
  const grpc::Status status = ToGrpc(
      WithFieldPrefix(InvalidField("max_connections", "must be 1"), "spec"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "spec.max_connections: must be 1");
  EXPECT_EQ(InfoOf(status).reason(), "INVALID_FIELD");
  google::rpc::BadRequest bad_request;
  ASSERT_EQ(DetailsOf(status).details_size(), 2);
  ASSERT_TRUE(DetailsOf(status).details(1).UnpackTo(&bad_request));
  ASSERT_EQ(bad_request.field_violations_size(), 1);
  EXPECT_EQ(bad_request.field_violations(0).field(), "spec.max_connections");
  EXPECT_EQ(bad_request.field_violations(0).description(), "must be 1");
}

TEST(GrpcStatusTest, WhatThePolicyForbidsIsNamedAsAField) {
  const grpc::Status status = ToGrpc(WithFieldPrefix(
      OutsidePolicy("inet.port", kAddress, "not allowed"), "where_to_listen"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(status.error_message(), "where_to_listen.inet.port: not allowed");
  EXPECT_EQ(InfoOf(status).reason(), "OUTSIDE_POLICY");
  EXPECT_EQ(InfoOf(status).metadata().at("address"), kAddress);
  google::rpc::BadRequest bad_request;
  ASSERT_EQ(DetailsOf(status).details_size(), 2);
  ASSERT_TRUE(DetailsOf(status).details(1).UnpackTo(&bad_request));
  EXPECT_EQ(bad_request.field_violations(0).field(),
            "where_to_listen.inet.port");
  EXPECT_EQ(bad_request.field_violations(0).description(), "not allowed");
}

TEST(GrpcStatusTest, RefusalsWithoutAFieldHaveNoViolation) {
  for (const absl::Status& refusal :
       {OutsidePolicy("", kAddress, "not allowed"), RoleRequired("no role")}) {
    const grpc::Status status = ToGrpc(refusal);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
    EXPECT_EQ(InfoOf(status).reason(), ReasonOf(refusal));
    EXPECT_EQ(DetailsOf(status).details_size(), 1);
  }
}

TEST(GrpcStatusTest, TextThatIsNotUtf8IsEscapedAndLongTextIsCut) {
  const grpc::Status status = ToGrpc(
      absl::InternalError(std::string("\xff") + std::string(100'000, 'x')));
  EXPECT_LT(status.error_message().size(), 1000u);
  EXPECT_EQ(status.error_message().find('\xff'), std::string::npos);
  InfoOf(status);
}

}  // namespace
}  // namespace portreeve::server
