#include "tests/model/script_run.h"

namespace portreeve::model {

const Step* ScriptRun::Current(TimePoint now, int64_t received, bool ended) {
  while (!is_done()) {
    if (!has_begun_) {
      has_begun_ = true;
      step_began_ = now;
      received_at_begin_ = received;
    }
    const Step& step = steps_[at_];
    switch (step.kind) {
      case Step::Kind::kPause:
        if (now - step_began_ < step.time) return nullptr;
        break;
      case Step::Kind::kAwait:
        if (!ended && received - received_at_begin_ < step.bytes &&
            now - step_began_ < step.time) {
          return nullptr;
        }
        break;
      case Step::Kind::kRead:
      case Step::Kind::kSlow:
      case Step::Kind::kStall:
      case Step::Kind::kStallToEnd:
        SetReading(step, now);
        break;
      default:
        return &step;
    }
    Next(now);
  }
  return nullptr;
}

void ScriptRun::Next(TimePoint now) {
  ++at_;
  has_begun_ = false;
  step_began_ = now;
}

void ScriptRun::SetReading(const Step& step, TimePoint now) {
  if (reading_ == Reading::kNothing && reading_until_ == TimePoint::max()) {
    return;  // To the end.
  }
  reading_until_ = now + step.time;
  switch (step.kind) {
    case Step::Kind::kSlow:
      reading_ = Reading::kSlow;
      slow_unit_ = step.unit;
      return;
    case Step::Kind::kStall:
      reading_ = Reading::kNothing;
      return;
    case Step::Kind::kStallToEnd:
      reading_ = Reading::kNothing;
      reading_until_ = TimePoint::max();
      return;
    default:
      return ReadAll();
  }
}

ScriptRun::Reading ScriptRun::reading(TimePoint now) const {
  return now < reading_until_ ? reading_ : Reading::kAll;
}

void ScriptRun::ReadAll() {
  reading_ = Reading::kAll;
  reading_until_ = TimePoint::max();
}

}  // namespace portreeve::model
