// ReflectionService: grpc.reflection.v1.ServerReflection, and v1alpha, which is
// the same under an older name.
#ifndef PORTREEVE_SERVER_ABOUT_REFLECTION_SERVICE_H_
#define PORTREEVE_SERVER_ABOUT_REFLECTION_SERVICE_H_

#include <functional>
#include <string>
#include <vector>

#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "lib/base/deferred.h"
#include "lib/base/loop.h"
#include "server/about/descriptor_answers.h"
#include "server/calls/open_calls.h"

namespace portreeve::server {

// Both versions: their messages are the same bytes.  gRPC's own implementation
// has the older one only, and a thread for each call.
//
// Threads: the methods are gRPC's; EndStreams(): loop thread.
// Lifetime: `loop` outlives it.  Destroy it when the gRPC server is shut down
// and the loop has run dry.
class ReflectionService {
 public:
  // `services` are the names that are listed beside its own, `types` those that
  // are known, too (server/about/descriptor_answers.h).
  ReflectionService(Loop& loop, std::vector<std::string> services,
                    const std::vector<std::string>& types);

  // For grpc::ServerBuilder.
  grpc::Service* v1() { return &v1_; }
  grpc::Service* v1alpha() { return &v1alpha_; }

  // Ends the calls with OK and refuses later ones.  Determined when none is
  // left.  Idempotent.
  Deferred<> EndStreams() { return calls_.End(); }

 private:
  using Stream = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

  // `Reflection` is the generated class of a version.
  template <typename Reflection>
  class Version final
      : public Reflection::template WithRawCallbackMethod_ServerReflectionInfo<
            typename Reflection::Service> {
   public:
    explicit Version(ReflectionService& owner) : owner_(owner) {}
    Stream* ServerReflectionInfo(
        grpc::CallbackServerContext* context) override {
      return owner_.Serve(*context);
    }

   private:
    ReflectionService& owner_;
  };

  Stream* Serve(const grpc::CallbackServerContext& context);

  Loop& loop_;
  const DescriptorAnswers answers_;
  OpenCalls calls_;  // Loop thread only.
  Version<grpc::reflection::v1::ServerReflection> v1_{*this};
  Version<grpc::reflection::v1alpha::ServerReflection> v1alpha_{*this};
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_ABOUT_REFLECTION_SERVICE_H_
