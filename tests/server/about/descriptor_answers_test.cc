// DescriptorAnswers: what reflection answers, without gRPC.
#include "server/about/descriptor_answers.h"

#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "google/rpc/error_details.pb.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::testing {
namespace {

using grpc::reflection::v1::ServerReflectionRequest;
using grpc::reflection::v1::ServerReflectionResponse;
using server::DescriptorAnswers;

class DescriptorAnswersTest : public ::testing::Test {
 protected:
  DescriptorAnswersTest() {
    // What is not used is not linked.
    EXPECT_NE(v1::Listener::descriptor(), nullptr);
    EXPECT_NE(google::rpc::ErrorInfo::descriptor(), nullptr);
  }

  // The names of the files that the answer has, the first one apart.
  static std::string FilesOf(const ServerReflectionResponse& response) {
    std::string first;
    std::set<std::string> names;
    for (const std::string& bytes :
         response.file_descriptor_response().file_descriptor_proto()) {
      google::protobuf::FileDescriptorProto file;
      EXPECT_TRUE(file.ParseFromString(bytes));
      if (first.empty()) first = file.name();
      EXPECT_TRUE(names.insert(file.name()).second) << file.name();
    }
    std::string shown = first + ":";
    for (const std::string& name : names) shown += " " + name;
    return shown;
  }
  std::string OfSymbol(const std::string& symbol) {
    ServerReflectionRequest request;
    request.set_file_containing_symbol(symbol);
    return Shown(request);
  }
  std::string Shown(const ServerReflectionRequest& request) {
    const ServerReflectionResponse response = answers_.Answer(request);
    EXPECT_EQ(response.original_request().DebugString(), request.DebugString());
    if (response.has_error_response()) {
      return "error " + std::to_string(response.error_response().error_code());
    }
    return FilesOf(response);
  }

  DescriptorAnswers answers_{{"portreeve.v1.ListenerService"},
                             {"google.rpc.ErrorInfo"}};
};

constexpr char kOfListener[] =
    "portreeve/v1/listener.proto: google/protobuf/duration.proto "
    "google/protobuf/empty.proto google/protobuf/field_mask.proto "
    "google/protobuf/timestamp.proto portreeve/v1/connection.proto "
    "portreeve/v1/handler.proto portreeve/v1/listener.proto";

TEST_F(DescriptorAnswersTest, AFileComesWithAllThatItImports) {
  for (const char* symbol :
       {"portreeve.v1.ListenerService",
        "portreeve.v1.ListenerService.CreateListener", "portreeve.v1.Listener",
        "portreeve.v1.Listener.name", "portreeve.v1.WhereToListen.Inet",
        "portreeve.v1.WaitFor", "portreeve.v1.WAIT_FOR_CLOSE_STARTED"}) {
    EXPECT_EQ(OfSymbol(symbol), kOfListener) << symbol;
  }
  ServerReflectionRequest request;
  request.set_file_by_filename("portreeve/v1/listener.proto");
  EXPECT_EQ(Shown(request), kOfListener);
  request.set_file_by_filename("google/protobuf/empty.proto");
  EXPECT_EQ(Shown(request),
            "google/protobuf/empty.proto: google/protobuf/empty.proto");
}

TEST_F(DescriptorAnswersTest, TypesAreKnownToo) {
  EXPECT_EQ(OfSymbol("google.rpc.BadRequest"),
            OfSymbol("google.rpc.ErrorInfo"));
  EXPECT_NE(OfSymbol("google.rpc.ErrorInfo"), "error 5");
}

TEST_F(DescriptorAnswersTest, OnlyTheServicesAreListed) {
  ServerReflectionRequest request;
  request.set_list_services("*");
  request.set_host("here");
  const ServerReflectionResponse response = answers_.Answer(request);
  EXPECT_EQ(response.valid_host(), "here");
  ASSERT_EQ(response.list_services_response().service_size(), 1);
  EXPECT_EQ(response.list_services_response().service(0).name(),
            "portreeve.v1.ListenerService");
}

TEST_F(DescriptorAnswersTest, WhatIsNotThereIsAnError) {
  // The last is compiled in, and nobody's to know.
  for (const std::string& symbol :
       {std::string(), std::string("portreeve"), std::string("a.b"),
        std::string(100'000, 'x'),
        std::string("grpc.reflection.v1.ServerReflection")}) {
    EXPECT_EQ(OfSymbol(symbol), "error 5");
  }
  ServerReflectionRequest request;
  EXPECT_EQ(Shown(request), "error 3");
  request.set_file_by_filename("no/such.proto");
  EXPECT_EQ(Shown(request), "error 5");
  request.mutable_file_containing_extension()->set_containing_type(
      "portreeve.v1.Listener");
  EXPECT_EQ(Shown(request), "error 5");
  request.set_all_extension_numbers_of_type("no.such.Type");
  EXPECT_EQ(Shown(request), "error 5");
  request.set_all_extension_numbers_of_type("portreeve.v1.Listener");
  EXPECT_EQ(answers_.Answer(request)
                .all_extension_numbers_response()
                .base_type_name(),
            "portreeve.v1.Listener");
}

}  // namespace
}  // namespace portreeve::testing
