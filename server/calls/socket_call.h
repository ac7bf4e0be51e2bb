// SocketCall: an Attach or Dial call as a ClientStream.
#ifndef PORTREEVE_SERVER_CALLS_SOCKET_CALL_H_
#define PORTREEVE_SERVER_CALLS_SOCKET_CALL_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>

#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/time_source.h"
#include "portreeve/v1/connection.pb.h"
#include "server/calls/bidi_call.h"
#include "server/remote/client_stream.h"

namespace portreeve::server {

// It holds one frame of each direction at most, but for a write that was
// cancelled: what else the client sends stays in HTTP/2's window.
class SocketCall final : public ClientStream, public BidiCall {
 public:
  // The arguments are those of BidiCall.
  SocketCall(Loop& loop, const grpc::CallbackServerContext& context,
             OnDoneFunction on_done);

  Task<std::optional<ClientMessage>> Read(Carrier carrier) override;
  Task<bool> Write(v1::ServerFrame frame) override;
  void SendData(DataBlock data) override;
  Task<bool> DataTaken() override;
  void BeginConnection() override { SetCarries(Carries::kUnjoined); }
  void Join(std::shared_ptr<SharedDescriptor> socket) override;
  void EndConnection() override { SetCarries(Carries::kEnded); }
  Deferred<> broken() const override { return broken_.deferred(); }
  // In a process that has handed over, it waits until the client has sent its
  // last, but not longer than kLastReading: gRPC closes a connection with the
  // last call that is on it, and a client that writes then has lost what it has
  // not read.
  void Finish(const absl::Status& status) override;

  void Close(const absl::Status& status) override;

 private:
  static constexpr std::chrono::seconds kLastReading{1};

  bool TakeDirectly(const grpc::ByteBuffer& message) override;
  bool ContinueSending(grpc::ByteBuffer* message) override;
  void OnMessage(grpc::ByteBuffer message) override;
  void OnClientEnd() override;
  void OnBroken() override;
  bool AwaitsMessage() const;
  void WakeReader();

  const Ivar<> broken_;
  std::optional<ClientMessage> message_;  // Read, and given to nobody yet.
  bool client_ended_ = false;
  std::optional<absl::Status> last_;  // That of Finish(), while it waits.
  std::optional<Timer> last_reading_;
  std::optional<Ivar<bool>> data_taken_;  // Of the last SendData().
  std::optional<Ivar<>> reader_;          // Of the last Read() that waited.

  // Of Join(); else null.  Set while no read and no write is in flight.
  std::shared_ptr<SharedDescriptor> socket_;
  // Touched by whoever has the message that was read last, or asks for the
  // next.
  bool takes_directly_ = false;  // Read() allows it.
  size_t directly_sent_ = 0;     // Bytes of that message.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_SOCKET_CALL_H_
