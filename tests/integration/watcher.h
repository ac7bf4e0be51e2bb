// Watcher: a client that watches events in a thread of its own, in its own
// manner.
#ifndef PORTREEVE_TESTS_INTEGRATION_WATCHER_H_
#define PORTREEVE_TESTS_INTEGRATION_WATCHER_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <future>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include "portreeve/v1/event.grpc.pb.h"

namespace portreeve::testing {

// Watches from revision 1 until the listener `kEnd` is created, which its
// filter must let pass.  Fails the test where an event comes out of order or
// twice, or where one is missing that no gap tells of.
class Watcher {
 public:
  static constexpr char kEnd[] = "listeners/end";

  struct Manner {
    // `listeners` and `kinds`.
    v1::WatchEventsRequest filter;
    // After its first message it does not read until this is ready.
    std::shared_future<void> stalls_until;
    // Not 0: it leaves and comes back at random, of which this is the seed.
    unsigned reconnects = 0;
  };

  Watcher(const std::string& target, Manner manner);
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  ~Watcher() { Join(); }

  // Waits until it has seen the end.
  void Join();

  // The rest: after Join().
  // Every event by its revision, encoded; without gaps.
  const std::map<int64_t, std::string>& seen() const { return seen_; }
  // How many events gaps told of.
  int64_t missing() const { return missing_; }
  int num_calls() const { return num_calls_; }
  int64_t last_revision() const { return next_ - 1; }
  const std::string& instance_id() const { return instance_id_; }

 private:
  bool is_filtered() const {
    return manner_.filter.listeners_size() + manner_.filter.kinds_size() > 0;
  }
  void Run();
  void WatchOnce();
  // Takes events of a message, in order: all, or some if it is to leave.
  void Take(const v1::WatchEventsResponse& message, bool leaves);
  void Take(const v1::Event& event);

  const Manner manner_;
  const std::unique_ptr<v1::EventService::Stub> stub_;
  std::minstd_rand random_;
  bool ended_ = false;
  int64_t next_ = 1;
  std::string instance_id_;
  std::map<int64_t, std::string> seen_;
  int64_t missing_ = 0;
  int num_calls_ = 0;
  std::thread thread_;
};

// A channel that shares nothing with others.
std::shared_ptr<grpc::Channel> OwnChannel(const std::string& target);

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_INTEGRATION_WATCHER_H_
