// Round: many scenes against one daemon.
#ifndef PORTREEVE_TESTS_MODEL_ROUND_H_
#define PORTREEVE_TESTS_MODEL_ROUND_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/model/control.h"
#include "tests/model/scene.h"
#include "tests/model/wake.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::model {

struct RoundOptions {
  std::vector<std::string> arguments;  // The daemon's.
  std::vector<uint64_t> seeds;         // Of its scenes, in this order.
  size_t at_a_time = 64;
  // SIGTERM after so many scenes are over; the others are played meanwhile.
  std::optional<size_t> terminate_after;
};

struct Failure {
  std::vector<std::string> kinds;  // What was wrong.
  std::string text;                // With the plan, and what was seen.
};

class Round {
 public:
  explicit Round(RoundOptions options);
  Round(const Round&) = delete;
  Round& operator=(const Round&) = delete;
  ~Round();

  // Plays them all, and then ends the daemon.
  void Run();

  size_t num_pairs() const { return num_pairs_; }
  const std::vector<Failure>& failures() const { return failures_; }
  // How many connections ended with each.
  const std::map<v1::CloseReason, size_t>& reasons() const { return reasons_; }

 private:
  void Begin();
  void Turn();
  void StartScenes();
  void TakeOver();
  void OnEvent(const v1::Event* event);
  Scene* FindScene(const v1::Event& event) const;
  void Terminate();
  void ExpectNothingLeft();
  void EndDaemon();
  void Fail(const std::string& kind, const std::string& text);

  const RoundOptions options_;
  std::string folder_;
  testing::DaemonProcess daemon_;
  Wake wake_;
  std::unique_ptr<Control> control_;
  std::optional<Stage> stage_;
  std::map<int, std::unique_ptr<Scene>> scenes_;
  std::map<std::string, Scene*> by_listener_;
  std::map<std::string, Scene*> by_dialled_;
  size_t started_ = 0;
  size_t over_ = 0;
  size_t num_pairs_ = 0;
  size_t sockets_before_ = 0;
  int64_t kilobytes_early_ = 0;
  std::vector<Failure> failures_;
  std::map<v1::CloseReason, size_t> reasons_;
};

}  // namespace portreeve::model

#endif  // PORTREEVE_TESTS_MODEL_ROUND_H_
