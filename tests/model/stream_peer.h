// StreamPeer: an Attach or Dial call that follows a script.
#ifndef PORTREEVE_TESTS_MODEL_STREAM_PEER_H_
#define PORTREEVE_TESTS_MODEL_STREAM_PEER_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <string>

#include "tests/model/content.h"
#include "tests/model/control.h"
#include "tests/model/history.h"
#include "tests/model/script_run.h"

namespace portreeve::model {

// Whoever has it calls Advance() every millisecond or so.
//
// Threads: the one of the control's Wake, but for what gRPC calls.
class StreamPeer final
    : public grpc::ClientBidiReactor<v1::ClientFrame, v1::ServerFrame>,
      public std::enable_shared_from_this<StreamPeer> {
 public:
  enum class Method { kAttach, kDial };

  StreamPeer(Control& control, const SidePlan& plan, Content sends,
             Content receives);

  // `first` is `attach` or `dial`.  It lives until it is finished.
  void Start(Method method, const v1::ClientFrame& first);

  void Advance(TimePoint now);
  void Cancel();

  bool finished() const { return history_.status.has_value(); }
  // The name of the connection; empty before it is opened.
  const std::string& connection() const { return connection_; }
  const SideHistory& history() const { return history_; }

 private:
  // gRPC's threads.
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnWritesDoneDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  template <typename F>
  void Post(F f);

  void Read(TimePoint now);
  void OnFrame();
  void OnData(const std::string& data);
  void Write();
  // Whether it has to wait for the write that is in flight.
  bool WritesIn(const Step& step) const;
  bool DoStep(const Step& step, TimePoint now);  // As SocketPeer's.
  bool SendSome(const Step& step, TimePoint now);
  bool Fill(const Step& step, TimePoint now);
  void AskHowFull();
  void SendEnd(Step::Kind kind);
  // The client has ended the handler, or the stream, or the call.
  bool is_through() const {
    return history_.done || history_.reset || history_.raised ||
           history_.ended_stream || history_.cancelled;
  }

  Control& control_;
  const Content sends_;
  const Content receives_;
  const bool ends_by_end_of_stream_;
  ScriptRun run_;
  SideHistory history_;
  std::string connection_;

  std::shared_ptr<StreamPeer> self_;  // While gRPC has it.
  grpc::ClientContext context_;
  v1::ServerFrame read_;
  v1::ClientFrame write_;
  bool reading_ = false;
  bool reads_over_ = false;
  bool writing_ = false;
  TimePoint next_slow_read_;

  int64_t step_sent_ = 0;  // Of the current kSend or kFill.
  // Of kFill: what is known of the last frame.
  enum class Filling { kNoFrame, kAsking, kTaken, kWaits, kUnknown };
  Filling filling_ = Filling::kNoFrame;
  TimePoint asked_since_;
  bool last_is_held_ = false;  // As a whole, as far as is known.
};

}  // namespace portreeve::model

#endif  // PORTREEVE_TESTS_MODEL_STREAM_PEER_H_
