// What every mode that makes listeners asks for.
#ifndef PORTREEVE_BENCH_GRPC_ECHO_LISTENER_H_
#define PORTREEVE_BENCH_GRPC_ECHO_LISTENER_H_

#include "portreeve/v1/listener.pb.h"

namespace portreeve::bench {

// A listener that echoes, on a loopback port of the OS's.
inline v1::CreateListenerRequest EchoListener() {
  v1::CreateListenerRequest request;
  v1::ListenerSpec& spec = *request.mutable_spec();
  spec.mutable_where_to_listen()->mutable_inet()->set_address("127.0.0.1");
  spec.mutable_handler()->mutable_echo();
  return request;
}

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_GRPC_ECHO_LISTENER_H_
