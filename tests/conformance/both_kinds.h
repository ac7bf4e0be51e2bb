// ServerTest: the suite of the scenarios that hold for both kinds of address.
#ifndef PORTREEVE_TESTS_CONFORMANCE_BOTH_KINDS_H_
#define PORTREEVE_TESTS_CONFORMANCE_BOTH_KINDS_H_

#include <gtest/gtest.h>

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/testing/server_fixture.h"

namespace portreeve::testing {

template <typename A>
class ServerTest : public ServerFixture<A> {
 protected:
  // More than the kernel keeps for a client that does not read.
  static constexpr size_t kBigBytes = 20'000'000;

  // Waits until `count` errors have reached the creator's monitor: their texts.
  std::vector<std::string> WaitForErrors(size_t count) {
    std::vector<std::string> seen;
    this->RunUntil([&] {
      for (std::string& error : this->TakeErrors()) {
        seen.push_back(std::move(error));
      }
      return seen.size() >= count;
    });
    return seen;
  }

  // What connect(2) says once the server is closed: the port answers nobody;
  // the file is gone.
  static std::string Refused() {
    return std::is_same_v<A, Inet> ? "ECONNREFUSED" : "ENOENT";
  }

  static ServerOptions WithMaxConnections(int max_connections) {
    ServerOptions options;
    options.max_connections = max_connections;
    return options;
  }
};

struct KindName {
  template <typename A>
  static std::string GetName(int) {
    return std::is_same_v<A, Inet> ? "Inet" : "Unix";
  }
};

using BothKinds = ::testing::Types<Inet, Unix>;

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_CONFORMANCE_BOTH_KINDS_H_
