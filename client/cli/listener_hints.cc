#include "client/cli/listener_hints.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/format.h"
#include "client/cli/printable.h"
#include "google/protobuf/timestamp.pb.h"

namespace portreeve::cli {
namespace {

// Reasons for which a connection ends and nobody has wanted it to.
constexpr std::array kTroubles = {v1::CLOSE_REASON_UPSTREAM_UNREACHABLE,
                                  v1::CLOSE_REASON_UPSTREAM_RESET,
                                  v1::CLOSE_REASON_HANDLER_ERROR,
                                  v1::CLOSE_REASON_BUFFER_AGE,
                                  v1::CLOSE_REASON_FORCED,
                                  v1::CLOSE_REASON_CLIENT_GONE,
                                  v1::CLOSE_REASON_UNCLAIMED,
                                  v1::CLOSE_REASON_PROCESS_LOST,
                                  v1::CLOSE_REASON_PEER_RESET};

// A reason is worth a hint from such a part of all closes on.
constexpr double kWorthAHint = 10;

bool IsBefore(const google::protobuf::Timestamp& a,
              const google::protobuf::Timestamp& b) {
  return std::pair(a.seconds(), a.nanos()) < std::pair(b.seconds(), b.nanos());
}

// Of those since the listener listens: an older one may be about another
// listener, which had its name, or about what was over when it was opened.
const v1::Event* NewestOf(const std::vector<v1::Event>& events,
                          v1::Event::KindCase kind,
                          const v1::ListenerStatus& status) {
  const auto found =
      std::find_if(events.rbegin(), events.rend(), [&](const v1::Event& event) {
        return event.kind_case() == kind &&
               !IsBefore(event.time(), status.opened_time());
      });
  return found == events.rend() ? nullptr : &*found;
}

class Hints {
 public:
  Hints(const v1::Listener& listener, const std::vector<v1::Event>& events,
        absl::Time now)
      : spec_(listener.spec()),
        status_(listener.status()),
        events_(events),
        now_(now) {}

  std::vector<std::string> Take() {
    AddState();
    if (status_.state() == v1::LISTENER_STATE_LISTENING) {
      AddLimit();
      AddServing();
      AddBacklog();
      AddAcceptErrors();
    }
    AddCloses();
    return std::move(hints_);
  }

 private:
  template <typename... Args>
  void Add(const Args&... args) {
    hints_.push_back(Printable(absl::StrCat(args...)));
  }

  void AddState() {
    if (status_.has_failure()) {
      const v1::ListenerFailure& failure = status_.failure();
      Add("it is not open: ", failure.reason(), ": ", failure.message(), "; ",
          failure.attempts(),
          failure.attempts() == 1 ? " attempt" : " attempts",
          failure.has_next_attempt_time()
              ? absl::StrCat(", the next at ",
                             TimeText(failure.next_attempt_time()))
              : ", and none by itself: update it, or send SIGHUP to the "
                "daemon");
    }
    if (!status_.is_closed()) return;
    Add("it is closed: ", EnumText(status_.close_cause()),
        status_.num_connections() > 0
            ? absl::StrCat("; ", status_.num_connections(),
                           " of its connections live on")
            : "");
  }

  void AddLimit() {
    if (status_.num_connections() < spec_.max_connections()) return;
    const v1::Event* const told =
        NewestOf(events_, v1::Event::kLimitReached, status_);
    Add("it has as many connections as it may, ", spec_.max_connections(),
        told != nullptr
            ? absl::StrCat(" (last told ", AgoText(told->time(), now_), ")")
            : "",
        ": others wait in the kernel; --max-connections raises that");
  }

  void AddServing() {
    if (spec_.drop_incoming_connections()) {
      Add("it drops every connection (drop_incoming_connections)");
    } else if (spec_.handler().has_remote() && status_.workers() == 0) {
      Add("nobody serves it: no client has called Handle, so it accepts "
          "nothing");
    }
  }

  void AddBacklog() {
    if (status_.effective_backlog() < spec_.max_pending_connections()) {
      Add("the kernel has cut the backlog from ",
          spec_.max_pending_connections(), " to ", status_.effective_backlog(),
          ": net.core.somaxconn is less");
    }
    if (status_.effective_backlog() > 0 &&
        int64_t{2} * status_.backlog_connections() >
            status_.effective_backlog()) {
      Add(status_.backlog_connections(), " of at most ",
          status_.effective_backlog(), " clients wait to be accepted");
    }
  }

  void AddAcceptErrors() {
    const v1::Event* const failed =
        NewestOf(events_, v1::Event::kAcceptFailed, status_);
    if (failed == nullptr) return;
    Add("accepting has failed, ", AgoText(failed->time(), now_), ": ",
        failed->accept_failed().message());
  }

  void AddCloses() {
    const int64_t all = ClosedTotal(status_);
    for (const v1::CloseReason trouble : kTroubles) {
      const std::string name = EnumText(trouble);
      const auto found = status_.closed_by_reason().find(name);
      if (found == status_.closed_by_reason().end()) continue;
      if (static_cast<double>(found->second) * kWorthAHint <
          static_cast<double>(all)) {
        continue;
      }
      Add(found->second, " of ", all, all == 1 ? " close is " : " closes are ",
          name, FailuresOf(name));
    }
  }

  // " (CONNECT_REFUSED 3)"; "" where nothing more is known.
  std::string FailuresOf(const std::string& name) const {
    const std::string prefix = absl::StrCat(name, "/");
    std::map<std::string, int64_t> failures;
    for (const auto& [reason, count] : status_.closed_by_reason()) {
      if (absl::StartsWith(reason, prefix)) {
        failures[reason.substr(prefix.size())] = count;
      }
    }
    if (failures.empty()) return "";
    return absl::StrCat(
        " (", absl::StrJoin(failures, ", ", absl::PairFormatter(" ")), ")");
  }

  const v1::ListenerSpec& spec_;
  const v1::ListenerStatus& status_;
  const std::vector<v1::Event>& events_;
  const absl::Time now_;
  std::vector<std::string> hints_;
};

}  // namespace

std::vector<std::string> HintsOf(const v1::Listener& listener,
                                 const std::vector<v1::Event>& events,
                                 absl::Time now) {
  return Hints(listener, events, now).Take();
}

}  // namespace portreeve::cli
