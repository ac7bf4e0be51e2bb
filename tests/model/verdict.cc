#include "tests/model/verdict.h"

#include <utility>

namespace portreeve::model {
namespace {

using End = SideHistory::End;
using Kind = SideHistory::Kind;
using Left = SideHistory::Left;

// What a peer has for the rest before a close is forced, less the clock's
// grain.
constexpr std::chrono::milliseconds kForcedAfter{29'900};

class Judgement {
 public:
  explicit Judgement(const PairHistory& pair)
      : pair_(pair), near_(pair.near), far_(pair.far) {}

  std::vector<std::string> Judge() {
    JudgeContent();
    JudgeCounts();
    JudgeEnds();
    if (far_.kind == Kind::kStream) JudgeStream();
    if (pair_.connection) JudgeReason();
    return std::move(wrong_);
  }

 private:
  void Expect(bool right, std::string otherwise) {
    if (!right) wrong_.push_back(std::move(otherwise));
  }

  bool sends_back() const { return pair_.handler == Handler::kEcho; }
  bool forgets() const { return pair_.handler == Handler::kDiscard; }
  bool has_far_side() const { return !sends_back() && !forgets(); }

  // Whose bytes the near side gets, and how many.
  const SideHistory& source() const { return has_far_side() ? far_ : near_; }
  int64_t most_for_near() const { return forgets() ? 0 : source().sent; }

  bool has_reason(v1::CloseReason reason) const {
    return pair_.connection && pair_.connection->reason == reason;
  }
  bool bytes_were_lost() const {
    return near_.received < most_for_near() ||
           (has_far_side() && far_.received < near_.sent) ||
           // Thrown away, as the daemon had ended already.
           (pair_.connection && pair_.connection->bytes_received < near_.sent);
  }

  // Its client cannot know how far it got.
  bool IsCancelledDial() const { return IsDial(pair_.handler) && !far_.opened; }

  // Prefixes.

  void JudgeContent() {
    Expect(!near_.first_wrong, "the near side received a wrong byte");
    Expect(!far_.first_wrong, "the far side received a wrong byte");
    Expect(near_.received <= most_for_near(),
           "the near side received more than was sent");
    Expect(far_.received <= near_.sent,
           "the far side received more than was sent");
  }

  // Byte counts.

  void JudgeCounts() {
    if (!pair_.connection) {
      Expect(IsCancelledDial() || (near_.received == 0 && far_.received == 0),
             "bytes came through a connection that the daemon never told of");
      return;
    }
    const ConnectionHistory& told = *pair_.connection;
    // What a forced close throws away is not counted; but the kernel may send
    // some of it between the count and the reset.
    Expect(lost_some() || told.bytes_sent >= near_.received,
           "bytes_sent is less than the near side received");
    Expect(told.bytes_sent <= most_for_near(),
           "bytes_sent is more than the other side sent");
    Expect(told.bytes_received <= near_.sent + (near_.urgent ? 1 : 0),
           "bytes_received is more than the near side sent");
    Expect(far_.received <= told.bytes_received,
           "bytes_received is less than the far side received");
    if (near_.end != End::kNone && told.reason != v1::CLOSE_REASON_FORCED &&
        (near_.end == End::kFin || near_.kind == Kind::kUnix)) {
      Expect(near_.received == told.bytes_sent,
             "the near side saw an end, but not all of bytes_sent");
    }
    // The far side's FIN, and a handler's end, may be the reason before all is
    // read; the near side's, of a built-in handler, is met behind all data.
    if (told.reason == v1::CLOSE_REASON_PEER_CLOSED &&
        far_.kind != Kind::kStream) {
      Expect(told.bytes_received >= near_.sent,
             "PEER_CLOSED, but bytes_received is less than the peer sent");
    }
  }

  // What sockets saw last.

  void JudgeEnds() {
    if (near_.end == End::kFin && near_.kind == Kind::kTcp) JudgeFinAtNear();
    if (far_.end == End::kFin && far_.kind == Kind::kTcp) JudgeFinAtFar();
    if (!is_undisturbed()) return;
    JudgeUndisturbed(near_, "near", most_for_near());
    if (far_.exists() && far_.kind != Kind::kStream &&
        !may_be_given_up_attempt()) {
      JudgeUndisturbed(far_, "far", near_.sent);
    }
  }

  // An attempt to connect that CLOSE has given up is reset, for nobody has
  // ended what had not begun.
  bool may_be_given_up_attempt() const {
    return pair_.close_called && IsForward(pair_.handler) &&
           pair_.connection->bytes_received == 0 &&
           pair_.connection->bytes_sent == 0;
  }

  void JudgeFinAtNear() {
    if (!pair_.connection) {
      // One that was accepted while its listener was closed sees an end.
      return Expect(
          pair_.listener_closed || pair_.shut_down || IsCancelledDial(),
          "the near side was never served, but saw FIN");
    }
    if (source().may_have_ended_in_order() &&
        near_.received == most_for_near()) {
      return;
    }
    if (pair_.close_called && !lost_towards_near()) return;
    // Echo and discard end with what they have, as the original does.
    const bool keeps_fin =
        !has_far_side() && (has_reason(v1::CLOSE_REASON_BUFFER_AGE) ||
                            has_reason(v1::CLOSE_REASON_FORCED) ||
                            has_reason(v1::CLOSE_REASON_SHUTDOWN));
    Expect(keeps_fin, source().may_have_ended_in_order()
                          ? "the near side saw FIN, but not all bytes"
                          : "the near side saw FIN, but the other side never "
                            "ended in order");
  }

  void JudgeFinAtFar() {
    if (near_.may_have_ended_in_order() && far_.received == near_.sent) return;
    if (pair_.close_called && !lost_towards_far()) return;
    Expect(false, near_.may_have_ended_in_order()
                      ? "the far side saw FIN, but not all bytes"
                      : "the far side saw FIN, but the other side never ended "
                        "in order");
  }

  // CLOSE promises FIN, but not to one whose bytes were lost after all.  True
  // only where it cannot have been the other direction's.
  bool lost_some() const {
    return has_reason(v1::CLOSE_REASON_BUFFER_AGE) ||
           (has_reason(v1::CLOSE_REASON_FORCED) && !frames_were_cut());
  }
  // CLOSE has cut what the daemon had not read of a client's stream: that is
  // FORCED, and a FIN all the same, behind all that was sent.
  bool frames_were_cut() const {
    return has_reason(v1::CLOSE_REASON_FORCED) && pair_.close_called &&
           far_.kind == Kind::kStream &&
           (pair_.lasted < kForcedAfter ||
            (near_.end == End::kFin &&
             near_.received == pair_.connection->bytes_sent));
  }
  bool lost_towards_near() const {
    if (!lost_some() || !has_far_side()) return false;
    return far_.kind == Kind::kStream ||
           far_.received == pair_.connection->bytes_received;
  }
  bool lost_towards_far() const {
    return lost_some() && near_.received == far_.sent;
  }

  // Nobody reset anything or left, and the daemon names an end in order: then
  // that is what is to be seen.
  bool is_undisturbed() const {
    if (!pair_.connection || pair_.reset_called || pair_.shut_down ||
        near_.may_have_reset() || far_.may_have_reset() || far_.reset ||
        far_.cancelled) {
      return false;
    }
    switch (pair_.connection->reason) {
      case v1::CLOSE_REASON_PEER_CLOSED:
      case v1::CLOSE_REASON_UPSTREAM_CLOSED:
      case v1::CLOSE_REASON_CALLED:
      case v1::CLOSE_REASON_LISTENER_CLOSED:
      case v1::CLOSE_REASON_HANDLER_DONE:
      case v1::CLOSE_REASON_HANDLER_ERROR:
        // By CLOSE a connection ends before it has reached its other side.
        return !has_far_side() || far_.exists();
      default:
        return false;
    }
  }

  void JudgeUndisturbed(const SideHistory& side, const std::string& name,
                        int64_t most) {
    if (side.kind == Kind::kTcp) {
      Expect(side.end == End::kFin,
             "the " + name + " side saw a reset, but nobody reset");
    }
    if (side.end == End::kReset && side.kind == Kind::kTcp) return;
    // What the handler's end cuts off is the near side's, not its own.
    if (!pair_.close_called) {
      Expect(side.received == most,
             "the " + name + " side has not received all that was sent");
    }
  }

  // What the client of a stream saw.

  void JudgeStream() {
    Expect(far_.disorder.empty(), "frames out of order: " + far_.disorder);
    Expect(far_.status.has_value(), "the call is not over");
    if (!far_.cancelled && !pair_.shut_down && far_.status) {
      const bool ok = *far_.status == 0;
      Expect(!far_.opened || ok, "an opened stream ended with an error");
      Expect(ok == far_.closed.has_value(),
             "`closed` and the status do not agree");
    }
    if (far_.closed && pair_.connection) {
      Expect(*far_.closed == pair_.connection->reason,
             "`closed` has another reason than the event");
    }
    // Whoever is through is not told how the rest would have gone.
    const bool is_through =
        far_.through_before_eof || far_.cancelled || pair_.shut_down;
    if (far_.saw_eof && far_.closed && !is_through &&
        *far_.closed != v1::CLOSE_REASON_PEER_RESET) {
      Expect(near_.may_have_ended_in_order(),
             "`eof`, but the peer never ended in order");
      Expect(far_.received == near_.sent, "`eof`, but not all bytes");
    }
    if (is_undisturbed() && !is_through && !pair_.close_called) {
      Expect(far_.saw_eof, "no `eof`, but the peer ended in order");
      Expect(far_.received == near_.sent,
             "the stream has not received all that was sent");
    }
  }

  // Reasons.

  void JudgeReason() {
    const v1::CloseReason reason = pair_.connection->reason;
    Expect(ReasonMayBe(reason),
           CloseReason_Name(reason) + ", for which there was no cause");
  }

  bool ReasonMayBe(v1::CloseReason reason) const {
    const bool is_forward = IsForward(pair_.handler);
    switch (reason) {
      case v1::CLOSE_REASON_PEER_CLOSED:
        return near_.may_have_ended_in_order();
      case v1::CLOSE_REASON_PEER_RESET:
        return near_.may_have_reset();
      case v1::CLOSE_REASON_HANDLER_DONE:
        return far_.done || far_.reset || far_.ended_stream;
      case v1::CLOSE_REASON_HANDLER_ERROR:
        return far_.raised;
      case v1::CLOSE_REASON_BUFFER_AGE:
        return pair_.age_limited && bytes_were_lost();
      case v1::CLOSE_REASON_FORCED:
        // Or its peer left while its last bytes were flushed.
        return bytes_were_lost() &&
               (frames_were_cut() || pair_.lasted >= kForcedAfter ||
                near_.may_have_reset() || far_.may_have_reset());
      case v1::CLOSE_REASON_CALLED:
        return pair_.closed_one;
      case v1::CLOSE_REASON_LISTENER_CLOSED:
        return pair_.closed_all;
      case v1::CLOSE_REASON_UNCLAIMED:
        return pair_.handler == Handler::kRemoteUnclaimed ||
               (IsRemote(pair_.handler) && !far_.opened && far_.cancelled) ||
               pair_.shut_down;
      case v1::CLOSE_REASON_CLIENT_GONE:
        return IsRemote(pair_.handler) && far_.cancelled;
      case v1::CLOSE_REASON_CANCELLED:
        return IsDial(pair_.handler) && far_.cancelled;
      case v1::CLOSE_REASON_UPSTREAM_UNREACHABLE:
        return pair_.handler == Handler::kForwardNowhere;
      case v1::CLOSE_REASON_UPSTREAM_CLOSED:
        return is_forward && far_.may_have_ended_in_order();
      case v1::CLOSE_REASON_UPSTREAM_RESET:
        return is_forward && far_.may_have_reset();
      case v1::CLOSE_REASON_SHUTDOWN:
        return pair_.shut_down;
      default:
        return false;
    }
  }

  const PairHistory& pair_;
  const SideHistory& near_;
  const SideHistory& far_;
  std::vector<std::string> wrong_;
};

}  // namespace

std::vector<std::string> Judge(const PairHistory& pair) {
  return Judgement(pair).Judge();
}

}  // namespace portreeve::model
