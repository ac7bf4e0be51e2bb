#include "client/cli/connection_hints.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"
#include "client/cli/printable.h"

namespace portreeve::cli {
namespace {

// A silence is worth a hint from then on.
constexpr absl::Duration kLongSilence = absl::Minutes(1);

// Segments that were sent again are worth a hint from one in so many on.
constexpr double kOneLostIn = 100;

absl::Duration DurationOf(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) +
         absl::Nanoseconds(duration.nanos());
}

class Hints {
 public:
  Hints(const v1::Connection& connection, const v1::Listener* listener,
        absl::Time now)
      : connection_(connection),
        tcp_(connection.tcp_info()),
        listener_(listener),
        now_(now) {}

  std::vector<std::string> Take() {
    AddState();
    if (connection_.state() != v1::CONNECTION_STATE_CLOSED) {
      AddWaiting();
      AddLosses();
      AddEnds();
      AddSilence();
    }
    return std::move(hints_);
  }

 private:
  template <typename... Args>
  void Add(const Args&... args) {
    hints_.push_back(Printable(absl::StrCat(args...)));
  }

  bool is_open() const {
    return connection_.state() == v1::CONNECTION_STATE_OPEN;
  }
  bool waits() const {
    return connection_.bytes_to_write() > 0 || tcp_.unsent_bytes() > 0;
  }

  void AddState() {
    switch (connection_.state()) {
      case v1::CONNECTION_STATE_OPENING:
        Add("it is not connected yet: dialled ", Since());
        break;
      case v1::CONNECTION_STATE_UNCLAIMED:
        Add("nobody serves it: accepted ", Since(),
            ", and no client has attached it");
        break;
      case v1::CONNECTION_STATE_CLOSING:
        Add("it is being closed (", EnumText(connection_.close_reason()),
            "): what waits for its peer is flushed for 30s at most; `portreeve "
            "kill --reset` ends it at once");
        break;
      case v1::CONNECTION_STATE_CLOSED:
        Add("it has just been closed: ", EnumText(connection_.close_reason()));
        break;
      default:
        break;
    }
    if (connection_.has_failure()) {
      Add("it has no upstream: ", FailureText(connection_));
    }
    if (is_open() && listener_ != nullptr && listener_->status().is_closed()) {
      Add("its listener is closed, and it lives on");
    }
  }

  // The peer takes less than there is for it.
  void AddWaiting() {
    if (!waits()) return;
    const bool is_tcp = connection_.has_tcp_info();
    if (is_tcp && tcp_.unsent_bytes() == 0) {
      Add(Waiting(), " for its peer");
    } else if (!is_tcp || tcp_.unacknowledged_segments() == 0) {
      Add("its peer does not read: ", Waiting(), Limit());
    } else if (tcp_.retransmits() > 0) {
      Add("its peer does not acknowledge what it was sent: ", Waiting(),
          Limit());
    } else {
      Add("data comes faster than its peer, or the path to it, takes it: ",
          Waiting(), Limit());
    }
  }

  // "300 bytes wait in the daemon, and 20 in its kernel".
  std::string Waiting() const {
    const int64_t daemon = connection_.bytes_to_write();
    const int64_t kernel = tcp_.unsent_bytes();
    if (daemon == 0) {
      return absl::StrCat(CountText(kernel, "byte"),
                          kernel == 1 ? " waits" : " wait", " in its kernel");
    }
    return absl::StrCat(
        CountText(daemon, "byte"), daemon == 1 ? " waits" : " wait",
        " in the daemon",
        kernel == 0 ? "" : absl::StrCat(", and ", kernel, " in its kernel"));
  }

  // What becomes of what waits in the daemon.
  std::string Limit() const {
    if (connection_.bytes_to_write() == 0 || listener_ == nullptr) return "";
    if (connection_.state() == v1::CONNECTION_STATE_CLOSING) return "";
    const v1::BufferAgeLimit& limit = listener_->spec().buffer_age_limit();
    if (limit.has_unlimited()) return "; nothing limits for how long";
    if (!limit.has_at_most()) return "";
    return absl::StrCat("; it is closed (BUFFER_AGE) if one waits for ",
                        DurationText(limit.at_most()));
  }

  void AddLosses() {
    if (tcp_.retransmits() > 0) {
      Add("it retransmits ", CountText(tcp_.retransmits(), "segment"),
          ": lost on the path, or its peer is gone");
      return;
    }
    const int64_t sent = tcp_.segment_size() > 0
                             ? tcp_.acknowledged_bytes() / tcp_.segment_size()
                             : 0;
    if (tcp_.retransmits_total() == 0 ||
        static_cast<double>(tcp_.retransmits_total()) * kOneLostIn <
            static_cast<double>(sent)) {
      return;
    }
    Add("it has sent ", CountText(tcp_.retransmits_total(), "segment"),
        " again since it began: the path loses some");
  }

  void AddEnds() {
    const std::string& state = tcp_.state();
    if (state == "CLOSE-WAIT") {
      Add("its peer has closed its half (FIN) and sends no more; it may still "
          "read");
    } else if (is_open() && (state == "FIN-WAIT-1" || state == "FIN-WAIT-2")) {
      Add("its own half is closed (FIN); its peer has not closed the other");
    } else if (state == "UNCONN") {
      Add("its socket has failed, or was reset by its peer");
    }
  }

  void AddSilence() {
    if (!is_open() || !connection_.has_tcp_info() || waits()) return;
    const absl::Duration silence = std::min(DurationOf(tcp_.since_sent()),
                                            DurationOf(tcp_.since_received()));
    if (silence < kLongSilence) return;
    Add("no data has gone either way for ",
        absl::FormatDuration(absl::Trunc(silence, absl::Seconds(1))));
  }

  std::string Since() const {
    return connection_.has_create_time()
               ? AgoText(connection_.create_time(), now_)
               : "before";
  }

  const v1::Connection& connection_;
  const v1::TcpInfo& tcp_;
  const v1::Listener* const listener_;
  const absl::Time now_;
  std::vector<std::string> hints_;
};

}  // namespace

std::vector<std::string> HintsOf(const v1::Connection& connection,
                                 const v1::Listener* listener, absl::Time now) {
  return Hints(connection, listener, now).Take();
}

}  // namespace portreeve::cli
