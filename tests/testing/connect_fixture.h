// ConnectFixture: the connecting side, and a plain listener for it to meet.
#ifndef PORTREEVE_TESTS_TESTING_CONNECT_FIXTURE_H_
#define PORTREEVE_TESTS_TESTING_CONNECT_FIXTURE_H_

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "lib/base/monitor.h"
#include "lib/base/status.h"
#include "lib/connect/connect.h"
#include "tests/testing/loop_fixture.h"
#include "tests/testing/raw_listener.h"

namespace portreeve::testing {

using std::chrono::milliseconds;
using std::chrono::seconds;

// More than the kernel keeps for a reader that does not read.
inline constexpr size_t kLargeWrite = 20'000'000;

// How a coroutine ends that the test has started.
template <typename T>
struct Outcome {
  bool ended = false;
  std::optional<T> value;
  std::exception_ptr error;

  // The error's text; "" if there is none.
  std::string text() const { return error ? DescribeException(error) : ""; }
};

class ConnectFixture : public LoopFixture {
 protected:
  ConnectFixture() : listener_(loop(), Driver()) {}
  ~ConnectFixture() override { listener_.Close(); }

  RawClient::RunUntil Driver() {
    return [this](const std::function<bool()>& condition) {
      return RunUntil(condition);
    };
  }

  RawListener& listener() { return listener_; }
  WhereToConnect<Inet> where() const { return listener_.where(); }

  // Starts `task` under the creator's monitor; Outcome has its end.
  template <typename T>
  std::shared_ptr<Outcome<T>> StartWatched(Task<T> task) {
    auto outcome = std::make_shared<Outcome<T>>();
    tasks().Spawn(Keep(std::move(task), outcome),
                  [outcome](std::exception_ptr error) {
                    outcome->ended = true;
                    outcome->error = error;
                  });
    return outcome;
  }
  std::shared_ptr<Outcome<bool>> StartWatched(Task<> task) {
    return StartWatched(GiveTrue(std::move(task)));
  }
  template <typename T>
  bool RunToEnd(const std::shared_ptr<Outcome<T>>& outcome) {
    return RunUntil([&] { return outcome->ended; });
  }

  // Connects to listener(); the peer is what it accepted.
  struct Pair {
    std::unique_ptr<Connection<Inet>> connection;
    RawClient peer;

    Reader& reader() { return connection->reader; }
    Writer& writer() { return connection->writer; }
  };
  Pair ConnectPair(ConnectOptions options = {}) {
    auto connection = Run(Connect<Inet>(where(), std::move(options)));
    return Pair{std::move(connection), listener_.Accept()};
  }

  static ConnectOptions WithAgeLimit(BufferAgeLimit limit) {
    ConnectOptions options;
    options.buffer_age_limit = limit;
    return options;
  }

 private:
  template <typename T>
  static Task<> Keep(Task<T> task, std::shared_ptr<Outcome<T>> outcome) {
    outcome->value.emplace(co_await std::move(task));
  }
  static Task<bool> GiveTrue(Task<> task) {
    co_await std::move(task);
    co_return true;
  }

  RawListener listener_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_CONNECT_FIXTURE_H_
