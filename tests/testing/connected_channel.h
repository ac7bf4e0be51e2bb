// Connected: a channel that is connected before the test uses it.
#ifndef PORTREEVE_TESTS_TESTING_CONNECTED_CHANNEL_H_
#define PORTREEVE_TESTS_TESTING_CONNECTED_CHANNEL_H_

#include <grpcpp/channel.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>

namespace portreeve::testing {

// Waits until `channel` is connected; fails the test if it cannot.  With many
// threads gRPC 1.51 at times takes another call's errno for that of its
// connect(2), like ENOENT: the calls of that moment fail, although it tries
// again.
inline std::shared_ptr<grpc::Channel> Connected(
    std::shared_ptr<grpc::Channel> channel) {
  EXPECT_TRUE(channel->WaitForConnected(std::chrono::system_clock::now() +
                                        std::chrono::seconds(60)));
  return channel;
}

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_CONNECTED_CHANNEL_H_
