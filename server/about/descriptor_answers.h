// DescriptorAnswers: what reflection answers.
#ifndef PORTREEVE_SERVER_ABOUT_DESCRIPTOR_ANSWERS_H_
#define PORTREEVE_SERVER_ABOUT_DESCRIPTOR_ANSWERS_H_

#include <google/protobuf/descriptor.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "grpc/reflection/v1/reflection.pb.h"

namespace portreeve::server {

// Answers from the files of some services and types, and all that they import.
// A file comes with its imports, each once, since not every client asks for
// those by itself.  Everything is encoded at the beginning: protobuf's own pool
// would remember each name that it is asked for in vain.
//
// Threads: any; it does not change.
class DescriptorAnswers {
 public:
  // `services` are listed, in that order; `types` are known, too: messages that
  // travel as google.protobuf.Any.  All must be compiled in (it is CHECKed).
  DescriptorAnswers(std::vector<std::string> services,
                    const std::vector<std::string>& types);
  DescriptorAnswers(const DescriptorAnswers&) = delete;
  DescriptorAnswers& operator=(const DescriptorAnswers&) = delete;

  // Never fails: what is not there is an `error_response`.
  grpc::reflection::v1::ServerReflectionResponse Answer(
      const grpc::reflection::v1::ServerReflectionRequest& request) const;

 private:
  using File = google::protobuf::FileDescriptor;
  using Files = std::unordered_map<std::string, const File*>;
  using Response = grpc::reflection::v1::ServerReflectionResponse;

  void Add(const File* file);
  void AddMessage(const google::protobuf::Descriptor* message);
  void AddEnum(const google::protobuf::EnumDescriptor* type);
  void ListServices(Response& response) const;
  void PutFile(const Files& files, const std::string& name,
               Response& response) const;
  void PutExtensionNumbers(const std::string& type, Response& response) const;

  const std::vector<std::string> services_;
  Files by_name_;
  Files by_symbol_;
  std::unordered_map<const File*, std::string> encoded_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_ABOUT_DESCRIPTOR_ANSWERS_H_
