// StreamMove: whether and how a stream that is a socket goes on in the daemon's
// next process.  For the .cc files of this library only.
#ifndef PORTREEVE_CLIENT_STREAM_MOVE_H_
#define PORTREEVE_CLIENT_STREAM_MOVE_H_

namespace portreeve::client {

// Decides; the caller reads, sends and attaches.  A leg is one stream of gRPC:
// of a connection that moves there are several, one after the other.  After
// `moved` the frame that is being sent is the last of its leg, and the ones
// behind it wait for the next leg.  The connection goes on only where nothing
// was lost on the way: what was cut must never look whole.
//
// Threads: one at a time.
class StreamMove {
 public:
  enum class Frame { kData, kEof, kEnd };  // kEnd: `done`, `raised`, `reset`.

  enum class Turn {
    kNow,       // The frame is sent now, and OnSent() says what came of it.
    kLater,     // Once anything has changed it is to be asked again.
    kAfterEnd,  // The user has said an end before.
    kOver,      // The stream has ended.
  };
  // The user wants to send a frame.
  Turn Begin(Frame frame);

  // OnSent() and OnMoved() say whether the caller is to end its direction of
  // the leg now; OnHalfClosed() says that it has begun to.
  bool OnSent(bool ok);
  void OnHalfClosed() { is_sending_ = false; }

  // What the daemon has sent.
  bool OnMoved();
  void OnData();  // Or `eof`.
  void OnClosed() { is_over_ = true; }

  // Whether a frame is being sent, or the direction is to be ended.
  bool is_sending() const { return is_sending_; }

  // The leg has ended; `ok`: with status OK, and after the end of the caller's
  // direction had gone out.  Gives whether to attach again; else the stream is
  // over.  Nothing may be being sent.
  bool OnEnd(bool ok);

  // The next leg has `opened`.  Gives whether `eof` is to be sent on it first,
  // of which OnSent() says what came.
  bool OnOpened();

  // There is no next leg.
  void OnLost() { is_over_ = true; }

 private:
  enum class Said { kNothing, kEof, kEnd };

  bool BeginHalfClose();

  // Of the user, over all legs.
  Said said_ = Said::kNothing;
  bool is_over_ = false;

  // Of one leg.
  bool has_moved_ = false;  // Until the next leg has opened.
  bool is_sending_ = false;
  bool has_half_closed_ = false;
  // The daemon has said something after `moved`, as it does where the
  // connection ends before it has moved: `closed` is to come.
  bool is_ending_ = false;
  // Something that was to be sent on it was not.
  bool has_lost_ = false;
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_STREAM_MOVE_H_
