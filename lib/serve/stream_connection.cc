#include "lib/serve/stream_connection.h"

#include <utility>

#include "lib/base/check.h"

namespace portreeve {
StreamConnection::StreamConnection(std::shared_ptr<SocketCore> socket,
                                   Monitor monitor, Streams streams,
                                   const BufferAgeLimit& buffer_age_limit,
                                   OnLoss on_loss,
                                   const BufferSizes& buffer_sizes)
    : socket_(std::move(socket)) {
  if (streams == Streams::kNo) return;
  MakeStreams(std::move(monitor), buffer_age_limit, on_loss, buffer_sizes);
}

StreamConnection::StreamConnection(int64_t id,
                                   std::shared_ptr<SocketCore> socket,
                                   Monitor monitor,
                                   const BufferAgeLimit& buffer_age_limit,
                                   OnLoss on_loss)
    : AnyConnection(id), socket_(std::move(socket)) {
  MakeStreams(std::move(monitor), buffer_age_limit, on_loss, BufferSizes());
}

void StreamConnection::MakeStreams(Monitor monitor,
                                   const BufferAgeLimit& buffer_age_limit,
                                   OnLoss on_loss,
                                   const BufferSizes& buffer_sizes) {
  reader_.emplace(socket_, buffer_sizes.reader);
  buffer_age_limit_ = buffer_age_limit;
  WriterOptions options;
  options.buffer_age_limit = buffer_age_limit;
  options.raise_when_consumer_leaves = false;
  options.on_loss = on_loss;
  options.buffer_size = buffer_sizes.writer;
  writer_.emplace(socket_, std::move(monitor), std::move(options));
}

Reader& StreamConnection::reader() {
  PORTREEVE_CHECK(reader_.has_value());
  return *reader_;
}

Writer& StreamConnection::writer() {
  PORTREEVE_CHECK(writer_.has_value());
  return *writer_;
}

size_t StreamConnection::bytes_to_write() const {
  return writer_ ? writer_->bytes_to_write() : 0;
}

Deferred<> StreamConnection::Close(ExistingConnections how,
                                   CloseReason reason) {
  if (how == ExistingConnections::kLeave || socket_->is_closed()) {
    return closed();
  }
  socket_->NoteReason(reason);
  if (how == ExistingConnections::kReset) {
    if (writer_) {
      writer_->Abort();
    } else {
      socket_->Reset();
    }
  } else if (writer_) {
    writer_->Close(kForceCloseAfter);
  } else {
    socket_->CloseInOrder(
        After(TimeSource::Of(socket_->executor()).Now(), kForceCloseAfter));
  }
  if (on_close_begun_) on_close_begun_();
  return closed();
}

void StreamConnection::NoteLoss() {
  if (!is_open() || reason() == CloseReason::kBufferAge) return;
  socket_->OverruleReason(CloseReason::kForced);
}

void StreamConnection::CloseReader() {
  if (reader_) reader_->Close();
}

FrozenStream StreamConnection::Freeze() const {
  PORTREEVE_CHECK(writer_.has_value());
  return {bytes_received(), bytes_sent(), reason(), buffer_age_limit_,
          writer_->Freeze()};
}

void StreamConnection::Restore(FrozenStream frozen) {
  socket_->RestoreCounts(frozen.bytes_received, frozen.bytes_sent);
  socket_->NoteReason(frozen.reason);
  writer().Restore(std::move(frozen.writer));
}

Descriptor StreamConnection::LetGo() {
  writer().LetGo();
  return socket_->LetGo();
}

}  // namespace portreeve
