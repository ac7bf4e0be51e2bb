// OwnChannel: a connection that no other channel shares.
#ifndef PORTREEVE_BENCH_GRPC_OWN_CHANNEL_H_
#define PORTREEVE_BENCH_GRPC_OWN_CHANNEL_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

namespace portreeve::bench {

// Gives a channel with a connection of its own: by default gRPC's channels to
// one server share one.
inline std::shared_ptr<grpc::Channel> OwnChannel(const std::string& server) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(),
                                   arguments);
}

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_OWN_CHANNEL_H_
