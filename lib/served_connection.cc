#include "lib/served_connection.h"

#include <utility>

#include "lib/check.h"

namespace portreeve {
ServedConnection::ServedConnection(std::shared_ptr<SocketCore> socket,
                                   Monitor monitor, Streams streams,
                                   const BufferAgeLimit& buffer_age_limit)
    : socket_(std::move(socket)) {
  if (streams == Streams::kNo) return;
  reader_.emplace(socket_);
  WriterOptions options;
  options.buffer_age_limit = buffer_age_limit;
  options.raise_when_consumer_leaves = false;
  writer_.emplace(socket_, std::move(monitor), std::move(options));
}

Reader& ServedConnection::reader() {
  PORTREEVE_CHECK(reader_.has_value());
  return *reader_;
}

Writer& ServedConnection::writer() {
  PORTREEVE_CHECK(writer_.has_value());
  return *writer_;
}

size_t ServedConnection::bytes_to_write() const {
  return writer_ ? writer_->bytes_to_write() : 0;
}

Deferred<> ServedConnection::Close(ExistingConnections how,
                                   CloseReason reason) {
  if (how == ExistingConnections::kLeave || !socket_->is_open()) {
    return closed();
  }
  socket_->NoteReason(reason);
  const bool reset = how == ExistingConnections::kReset;
  if (writer_) {
    reset ? writer_->Abort()
          : static_cast<void>(writer_->Close(Writer::kForceCloseOfHandler));
  } else {
    reset ? socket_->Reset() : socket_->CloseNow();
  }
  return closed();
}

void ServedConnection::CloseReader() {
  if (reader_) reader_->Close();
}

}  // namespace portreeve
