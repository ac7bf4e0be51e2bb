// EchoListener: the request of every mode that makes listeners.
#ifndef PORTREEVE_BENCH_GRPC_ECHO_LISTENER_H_
#define PORTREEVE_BENCH_GRPC_ECHO_LISTENER_H_

#include "portreeve/v1/listener.pb.h"

namespace portreeve::bench {

// Asks for a listener that echoes, on a loopback port that the OS chooses.
inline v1::CreateListenerRequest EchoListener() {
  v1::CreateListenerRequest request;
  v1::ListenerSpec& spec = *request.mutable_spec();
  spec.mutable_where_to_listen()->mutable_inet()->set_address("127.0.0.1");
  spec.mutable_handler()->mutable_echo();
  return request;
}

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_ECHO_LISTENER_H_
