#include "client/cli/resume.h"

#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/cli/error_text.h"
#include "client/cli/option.h"
#include "client/cli/value.h"
#include "client/error.h"

namespace portreeve::cli {
namespace {

// The daemon, and gRPC, may take --timeout for over so much earlier.
constexpr absl::Duration kClocksDiffer = absl::Milliseconds(100);

// How often it may be told that the daemon has moved, and nothing is said: the
// former process may do so a few times before its connection has ended.
constexpr int kMostMoves = 3;

// Most proxies cut a stream that has been idle for 30 to 60 s.
constexpr int kProgressSeconds = 20;

absl::StatusOr<absl::Duration> ParseRetryFor(const std::string& text) {
  absl::StatusOr<absl::Duration> retry_for = ParseDuration(text);
  if (retry_for.ok() && *retry_for < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "': expected 0s or more"));
  }
  return retry_for;
}

absl::StatusOr<std::optional<google::protobuf::Duration>> ParseInterval(
    const std::string& text) {
  std::optional<google::protobuf::Duration> parsed;
  if (text == "off") return parsed;
  const auto interval = ParseProtoDuration(text);
  if (!interval.ok()) return interval.status();
  parsed = *interval;
  return parsed;
}

}  // namespace

ResumeFlags::ResumeFlags() {
  progress_interval.emplace().set_seconds(kProgressSeconds);
}

void ResumeFlags::AddRetryFor(CLI::App& verb) {
  AddOption(verb, "--retry-for", "DURATION",
            "How long to try again once the daemon was lost; then the exit "
            "status is 3. 0s: not at all. Default: for ever",
            Into(retry_for, ParseRetryFor));
}

void ResumeFlags::AddTo(CLI::App& verb) {
  AddRetryFor(verb);
  AddOption(verb, "--progress-interval", "DURATION|off",
            "Have the daemon give a sign of life after so long a silence, 1s "
            "to 1h, so that proxies which cut idle streams let it live; it is "
            "not printed. Default: 20s",
            Into(progress_interval, ParseInterval));
}

Resume::Resume(const ResumeFlags& flags, const Session& session, Notes& notes)
    : session_(session),
      notes_(notes),
      began_(std::chrono::steady_clock::now()),
      retry_(flags.retry_for) {}

client::CallOptions Resume::Call() const {
  return {.timeout = std::max(Left(), absl::ZeroDuration())};
}

absl::Duration Resume::Left() const {
  const auto passed = std::chrono::steady_clock::now() - began_;
  return session_.options.timeout.value_or(absl::InfiniteDuration()) -
         absl::FromChrono(passed);
}

void Resume::OnStart(const std::string& where) {
  retry_.OnStart(absl::Now());
  const bool has_only_moved = moves_ > 0 && said_.empty();
  if (has_started_ && !has_only_moved) {
    notes_.Say(absl::StrCat("back: ", where));
  }
  has_started_ = true;
  moves_ = 0;
  said_.clear();
}

bool Resume::IsTimeout(const absl::Status& status) const {
  return absl::IsDeadlineExceeded(status) && Left() < kClocksDiffer;
}

absl::Status Resume::AwaitNext(const absl::Status& why) {
  if (!has_started_ || IsTimeout(why)) return why;
  const bool is_moving = IsMoving(why);
  if (is_moving && moves_ == 1) return absl::OkStatus();
  const double chance = std::uniform_real_distribution<double>()(random_);
  const auto wait = retry_.OnEnd(absl::Now(), chance);
  if (!wait) return client::Unreachable(why.message());
  if (!is_moving) {
    SayOnce(absl::StrCat("lost (", why.message(), "); trying again"));
  }
  absl::MutexLock lock(&stop_mutex_);
  stop_mutex_.AwaitWithTimeout(absl::Condition(&stopped_),
                               std::min(*wait, Left()));
  if (stopped_) return absl::CancelledError("stopped");
  if (Left() <= absl::ZeroDuration()) {
    return absl::DeadlineExceededError("--timeout has passed");
  }
  return absl::OkStatus();
}

bool Resume::IsMoving(const absl::Status& why) {
  const bool is_of_grpc =
      absl::IsCancelled(why) && client::DetailsOf(why).reason.empty();
  const bool is_told = client::HasMoved(why) || (moves_ > 0 && is_of_grpc);
  if (!is_told || moves_ == kMostMoves) return false;
  ++moves_;
  return true;
}

void Resume::Stop() {
  absl::MutexLock lock(&stop_mutex_);
  stopped_ = true;
}

void Resume::SayOnce(const std::string& text) {
  if (said_ == text) return;
  said_ = text;
  notes_.Say(text);
}

}  // namespace portreeve::cli
