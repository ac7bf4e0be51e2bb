#include "server/about/descriptor_answers.h"

#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/support/status_code_enum.h>

#include <set>
#include <utility>

#include "lib/base/check.h"

namespace portreeve::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::EnumDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::ServiceDescriptor;
using grpc::reflection::v1::ServerReflectionRequest;
using grpc::reflection::v1::ServerReflectionResponse;

const FileDescriptor* FileOf(const std::string& symbol) {
  const FileDescriptor* const file =
      DescriptorPool::generated_pool()->FindFileContainingSymbol(symbol);
  PORTREEVE_CHECK(file != nullptr);
  return file;
}

void SetError(grpc::StatusCode code, const char* message,
              ServerReflectionResponse& response) {
  response.mutable_error_response()->set_error_code(code);
  response.mutable_error_response()->set_error_message(message);
}

// Adds `file` to `files`, and then what it imports.
void AddWithImports(const FileDescriptor* file,
                    std::set<const FileDescriptor*>& seen,
                    std::vector<const FileDescriptor*>& files) {
  if (!seen.insert(file).second) return;
  files.push_back(file);
  for (int i = 0; i < file->dependency_count(); ++i) {
    AddWithImports(file->dependency(i), seen, files);
  }
}

}  // namespace

DescriptorAnswers::DescriptorAnswers(std::vector<std::string> services,
                                     const std::vector<std::string>& types)
    : services_(std::move(services)) {
  for (const std::string& service : services_) Add(FileOf(service));
  for (const std::string& type : types) Add(FileOf(type));
}

void DescriptorAnswers::Add(const File* file) {
  if (!by_name_.emplace(file->name(), file).second) return;
  google::protobuf::FileDescriptorProto message;
  file->CopyTo(&message);
  encoded_.emplace(file, message.SerializeAsString());
  for (int i = 0; i < file->message_type_count(); ++i) {
    AddMessage(file->message_type(i));
  }
  for (int i = 0; i < file->enum_type_count(); ++i) AddEnum(file->enum_type(i));
  for (int i = 0; i < file->service_count(); ++i) {
    const ServiceDescriptor* const service = file->service(i);
    by_symbol_.emplace(service->full_name(), file);
    for (int j = 0; j < service->method_count(); ++j) {
      by_symbol_.emplace(service->method(j)->full_name(), file);
    }
  }
  for (int i = 0; i < file->dependency_count(); ++i) Add(file->dependency(i));
}

void DescriptorAnswers::AddMessage(const Descriptor* message) {
  by_symbol_.emplace(message->full_name(), message->file());
  for (int i = 0; i < message->field_count(); ++i) {
    by_symbol_.emplace(message->field(i)->full_name(), message->file());
  }
  for (int i = 0; i < message->nested_type_count(); ++i) {
    AddMessage(message->nested_type(i));
  }
  for (int i = 0; i < message->enum_type_count(); ++i) {
    AddEnum(message->enum_type(i));
  }
}

void DescriptorAnswers::AddEnum(const EnumDescriptor* type) {
  by_symbol_.emplace(type->full_name(), type->file());
  for (int i = 0; i < type->value_count(); ++i) {
    by_symbol_.emplace(type->value(i)->full_name(), type->file());
  }
}

ServerReflectionResponse DescriptorAnswers::Answer(
    const ServerReflectionRequest& request) const {
  Response response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  switch (request.message_request_case()) {
    case ServerReflectionRequest::kFileByFilename:
      PutFile(by_name_, request.file_by_filename(), response);
      break;
    case ServerReflectionRequest::kFileContainingSymbol:
      PutFile(by_symbol_, request.file_containing_symbol(), response);
      break;
    case ServerReflectionRequest::kFileContainingExtension:
      SetError(grpc::StatusCode::NOT_FOUND, "there are no extensions",
               response);
      break;
    case ServerReflectionRequest::kAllExtensionNumbersOfType:
      PutExtensionNumbers(request.all_extension_numbers_of_type(), response);
      break;
    case ServerReflectionRequest::kListServices:
      ListServices(response);
      break;
    case ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      SetError(grpc::StatusCode::INVALID_ARGUMENT, "nothing is asked for",
               response);
      break;
  }
  return response;
}

void DescriptorAnswers::ListServices(Response& response) const {
  auto& list = *response.mutable_list_services_response();
  for (const std::string& name : services_) list.add_service()->set_name(name);
}

void DescriptorAnswers::PutFile(const Files& files, const std::string& name,
                                Response& response) const {
  const auto it = files.find(name);
  if (it == files.end()) {
    return SetError(grpc::StatusCode::NOT_FOUND, "nothing has this name",
                    response);
  }
  std::set<const File*> seen;
  std::vector<const File*> all;
  AddWithImports(it->second, seen, all);
  auto& answer = *response.mutable_file_descriptor_response();
  for (const File* const file : all) {
    answer.add_file_descriptor_proto(encoded_.at(file));
  }
}

void DescriptorAnswers::PutExtensionNumbers(const std::string& type,
                                            Response& response) const {
  if (by_symbol_.count(type) == 0) {
    return SetError(grpc::StatusCode::NOT_FOUND, "nothing has this name",
                    response);
  }
  response.mutable_all_extension_numbers_response()->set_base_type_name(type);
}

}  // namespace portreeve::server
