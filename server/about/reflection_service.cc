#include "server/about/reflection_service.h"

#include <memory>
#include <utility>

#include "server/about/reflection_call.h"
#include "server/calls/unary.h"

namespace portreeve::server {
namespace {

std::vector<std::string> WithReflection(std::vector<std::string> services) {
  services.push_back(
      grpc::reflection::v1::ServerReflection::service_full_name());
  services.push_back(
      grpc::reflection::v1alpha::ServerReflection::service_full_name());
  return services;
}

}  // namespace

ReflectionService::ReflectionService(Loop& loop,
                                     std::vector<std::string> services,
                                     const std::vector<std::string>& types)
    : loop_(loop),
      answers_(WithReflection(std::move(services)), types),
      calls_(loop.executor()) {}

ReflectionService::Stream* ReflectionService::Serve(
    const grpc::CallbackServerContext& context) {
  auto on_done = [this](BidiCall* stream) { calls_.Remove(stream); };
  auto stream = std::make_shared<ReflectionCall>(loop_, context, answers_,
                                                 std::move(on_done));
  loop_.Post([this, stream] {
    try {
      if (calls_.Add(stream)) stream->Start();
    } catch (...) {
      stream->Close(AnswerToException());
    }
  });
  return stream.get();
}

}  // namespace portreeve::server
