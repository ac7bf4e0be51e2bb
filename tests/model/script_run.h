// ScriptRun: where a side is in its script.
#ifndef PORTREEVE_TESTS_MODEL_SCRIPT_RUN_H_
#define PORTREEVE_TESTS_MODEL_SCRIPT_RUN_H_

#include <chrono>
#include <cstdint>
#include <vector>

#include "tests/model/script.h"

namespace portreeve::model {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

// The steps that are the same for sockets and streams: those that wait, and
// those that say how it reads.
class ScriptRun {
 public:
  explicit ScriptRun(std::vector<Step> steps) : steps_(std::move(steps)) {}

  // The step to be done now; null if there is none: it waits, or is at its end.
  // `received` is what came until now; `ended` says that no more will come.
  const Step* Current(TimePoint now, int64_t received, bool ended);
  // The current step is done.
  void Next(TimePoint now);
  bool is_done() const { return at_ == steps_.size(); }
  // Nothing more can be done.
  void Abandon() { at_ = steps_.size(); }

  // Since when the current step is.
  TimePoint step_began() const { return step_began_; }

  // How it reads at this moment.
  enum class Reading { kAll, kSlow, kNothing };
  Reading reading(TimePoint now) const;
  int64_t slow_unit() const { return slow_unit_; }
  // A stall of either kind is over.
  void ReadAll();

 private:
  void SetReading(const Step& step, TimePoint now);

  const std::vector<Step> steps_;
  size_t at_ = 0;
  TimePoint step_began_;
  bool has_begun_ = false;
  int64_t received_at_begin_ = 0;  // Of the current step.

  Reading reading_ = Reading::kAll;
  TimePoint reading_until_ = TimePoint::max();
  int64_t slow_unit_ = 0;
};

}  // namespace portreeve::model

#endif  // PORTREEVE_TESTS_MODEL_SCRIPT_RUN_H_
