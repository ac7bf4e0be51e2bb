// PumpedConnection: what the handlers that carry bytes have in common.
#ifndef PORTREEVE_SERVER_HANDLERS_PUMPED_CONNECTION_H_
#define PORTREEVE_SERVER_HANDLERS_PUMPED_CONNECTION_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "lib/base/descriptor.h"
#include "lib/base/time_source.h"
#include "lib/lane/direct_connection.h"
#include "lib/lane/outbox.h"
#include "lib/net/address.h"
#include "lib/net/buffer_age_limit.h"
#include "lib/net/close_reason.h"
#include "server/handlers/frozen_connection.h"
#include "server/handlers/moving_connection.h"
#include "server/handlers/pump.h"

namespace portreeve::server {

// A client, and perhaps an upstream, between which bytes flow: an echo has one
// flow, from its client back to it, a forward one each way.
//
//   open -> each flow ends by itself ---------------> closed in order
//        -> a side fails -> what had come from it is carried,
//                           as far as that is possible now -> both sides reset
//        -> closing: what is held is flushed -------> closed in order
//        -> the daemon ends it (buffer age, 30 s, shutdown) -> a side that has
//                           not got all that was sent to it is reset
//
// Threads: the lane's only.
class PumpedConnection : public MovingConnection, private Outbox::Sender {
 protected:
  // Who is at either end.  The values are the poller's tags.
  enum Side { kClient = 0, kUpstream = 1 };

  // A direction: from the side that has its number to the other one, or back to
  // the same.
  struct Flow {
    explicit Flow(Pump::ShortReads short_reads = Pump::ShortReads::kAreAll,
                  Pump::NoDelay no_delay = Pump::NoDelay::kSet)
        : pump(short_reads, no_delay) {}

    Pump pump;
    bool blocked : 1 = false;  // The target takes no more now.
    bool ended : 1 = false;    // The source's end was met, and all has gone.
    bool shut : 1 = false;     // The target was sent FIN.
  };

  // What becomes of a side that has not got all when the daemon ends the
  // connection.
  enum class CutOff { kIsReset, kGetsFin };

  using MovingConnection::MovingConnection;

  static Pump::ShortReads ShortReadsOf(const AnyAddress& source) {
    return std::holds_alternative<Unix::Address>(source)
               ? Pump::ShortReads::kMayStop
               : Pump::ShortReads::kAreAll;
  }
  // Says what a pump has to do about TCP_NODELAY of the client.
  Pump::NoDelay no_delay() const {
    return sets_no_delay() ? Pump::NoDelay::kSet : Pump::NoDelay::kLeave;
  }

  // Takes the events that epoll has reported of `side`.
  void NoteEvents(Side side, uint32_t events);
  // Carries what there is to carry after NoteEvents(), and ends what is over.
  void Continue(Side side, uint32_t events);
  // Carries what there is to carry.
  void Advance();

  // Resets both sides: what has not ended in order must not pass for it.
  void EndWith(CloseReason reason);
  // Ends what neither side has ended.  `reason` overrules others, since bytes
  // were lost.
  void EndByDaemon(CloseReason reason);
  // Ends each side that has got all in order, and the others with a reset.
  void CutOffSides();

  void OnRing(TimePoint now) override;
  void CloseInOrder(CloseReason reason) override;
  void CloseWithReset() override;

  // Adds what there is to move of a flow to `to` and `descriptors`.  Gives
  // false where it cannot be moved.
  static bool Freeze(const Flow& flow, FrozenFlow& to,
                     std::vector<int>& descriptors);
  // Restores a flow; takes the ends of its pipe, if it has one, from `others`,
  // from `next` on.
  static void Restore(const FrozenFlow& frozen, Flow& flow,
                      std::vector<Descriptor>& others, size_t& next);
  int OnResume() override;
  void OnLetGo() override;

 private:
  // Gives one flow or two, the same each time.
  virtual std::span<Flow> flows() = 0;
  virtual int DescriptorOf(Side side) const = 0;
  // Gives how long the flow may hold bytes for its target.
  virtual const BufferAgeLimit& AgeLimitOf(size_t flow) const = 0;
  virtual CutOff cut_off() const = 0;
  // Has to call Finish(), with the upstream's descriptor if there is one.
  virtual void FinishSides(How client, How upstream) = 0;

  void OnSent(ssize_t result, std::string_view message, int tag) override;

  Side TargetOf(size_t flow);
  Flow& FlowTo(Side side) { return flows()[flows().size() - 1 - side]; }
  void OnState(size_t flow, Pump::State state);
  void OnEnded(size_t flow);
  void OnBlocked(size_t flow);
  void Publish();
  TimePoint TooOldAt(size_t flow);
  void RingForAge();
  void Settle();
  How HowToCutOff(Side side);
  void End(How client, How upstream);
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDLERS_PUMPED_CONNECTION_H_
