// StreamPolicy: what becomes of a connection that a client's stream serves, by
// what the client said and what the peer did
// (proto/portreeve/v1/connection.proto).  It has no sockets, no gRPC and no
// clock.
#ifndef PORTREEVE_SERVER_REMOTE_STREAM_POLICY_H_
#define PORTREEVE_SERVER_REMOTE_STREAM_POLICY_H_

#include <cstddef>

#include "lib/net/close_reason.h"

namespace portreeve::server {

// The client's side:
//
//   data      is written; where the connection is being closed by others, it is
//             lost, and known to be until nothing can be exchanged any more
//   eof       FIN, after all that was written
//   done      the handler has ended: flush, FIN, close
//   raised    the same, with an error
//   reset     RST at once, also while the others flush; the handler has ended
//   the end of its stream   `eof`; once the peer's `eof` was taken, `done`
//   a break   RST, unless the peer has got all, and the FIN; nothing at all
//             once the handler has ended, or others flush
//   nonsense  (a frame out of place, too large a one, data after the end) RST,
//             and the stream fails
//
// The peer's side:
//
//   end       `eof`
//   reset     RST for what is left; `eof` with `reset` if there was none
//
// One frame is read ahead of the peer: of the frames that were read, there is
// at most one that the kernel has not begun to take.  Until it has, or others
// close the connection, nothing that the client says behind that frame is seen,
// but for a break.
//
// A stream that moves (ServerFrame.Moved) reads on, until the client ends its
// side, which then is no end of the connection's: the connection may leave, as
// long as nothing else has ended it.  Frames are not held meanwhile, up to
// kMostOnTheWay bytes.
class StreamPolicy {
 public:
  // The most that may wait for the peer where no frame is held on a stream that
  // moves.
  static constexpr size_t kMostOnTheWay = 256 << 10;

  enum class Frame { kData, kEof, kDone, kReset, kRaised, kNonsense };

  enum class Close {
    kNo,
    kInOrder,  // The peer has got all.
    kReset,
  };
  enum class End { kNo, kDone, kRaised };

  // What the caller has to do now, in the order of the fields.
  struct Action {
    bool write = false;       // The frame's data.
    bool lost = false;        // The frame's data is, if it has any.
    bool half_close = false;  // FIN, when all is flushed.
    bool send_eof = false;    // To the client.
    Close close = Close::kNo;
    CloseReason reason = CloseReason::kNone;  // Of `close`.
    // How the handler ends: what is still open is then flushed and closed.
    End end = End::kNo;

    friend bool operator==(const Action&, const Action&) = default;
  };

  // The last frames that the client gets, once the connection is closed.
  struct Farewell {
    bool eof = false;
    bool eof_is_reset = false;
    bool closed = false;  // Else the stream fails.

    friend bool operator==(const Farewell&, const Farewell&) = default;
  };

  // `broken` is the reason of the close where the stream breaks; `eof_said`:
  // the client has ended its direction on a stream before this one.
  explicit StreamPolicy(CloseReason broken, bool eof_said = false)
      : broken_reason_(broken), eof_said_(eof_said) {}

  // Reports the client's next frame.  may_read() must have been true.
  Action OnFrame(Frame frame);
  // The client has ended its direction of the stream.  may_read() must have
  // been true, too.
  Action OnStreamEnd();
  // The call was cancelled, or the client is lost.  `peer_has_all`: everything
  // that the client wrote is with the kernel, and the FIN after it.
  Action OnBroken(bool peer_has_all);

  // An Action's `write` of `size` bytes was done, and `waiting` bytes wait in
  // all.
  void OnWritten(size_t size, size_t waiting);
  // The kernel has begun to take what was written last.
  void OnBegun() { is_held_ = false; }

  // The peer's FIN was read; or the peer has reset the connection.
  Action OnPeerEnd();
  Action OnPeerReset();
  // The client has taken the `eof` frame.
  Action OnEofTaken();

  // The connection is to leave: gives whether the client is to be told so.
  // Nothing is read from the peer from then on.
  bool OnMove();
  // Whether the connection can leave now: the client has said all, and nothing
  // has ended either.
  bool may_leave() const {
    return is_moving_ && stream_ended_ && goes_on() && !has_failed_ &&
           !is_broken_;
  }

  // Others close the connection; it may be flushing still.
  void OnCloseBegun();
  // No byte can be exchanged any more.
  Action OnClosed();

  // Whether the next frame may be read now.
  bool may_read() const;
  // Whether what the client writes goes to the peer.
  bool takes_data() const { return goes_on() && !eof_said_; }
  // Whether the next frame has to wait until the kernel begins to take the last
  // one.
  bool is_held() const { return is_held_ && !is_closing_; }
  // Whether the handler has ended.
  bool has_ended() const { return has_ended_; }
  // Whether the stream has to fail, since there was nonsense.
  bool has_failed() const { return has_failed_; }

  // Must be called after OnClosed(); `reason` is the connection's.
  Farewell FarewellOf(CloseReason reason) const;

 private:
  // Whether nobody has asked for the connection's end.
  bool goes_on() const { return !has_ended_ && !is_closing_ && !is_closed_; }

  // These add to actions.
  void HalfClose(Action& action);
  void EndAs(End end, Action& action);
  void Fail(Action& action);

  const CloseReason broken_reason_;
  bool eof_said_;              // By the client, in whatever way.
  bool stream_ended_ = false;  // The client has ended its stream.
  bool eof_sent_ = false;      // To the client.
  bool eof_taken_ = false;     // The client has taken the `eof`.
  bool has_ended_ = false;
  bool has_failed_ = false;
  bool is_broken_ = false;
  bool is_closing_ = false;  // By others.
  bool is_closed_ = false;
  bool is_held_ = false;
  bool is_moving_ = false;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REMOTE_STREAM_POLICY_H_
