#include "server/calls/open_streams.h"

#include <utility>

namespace portreeve::server {

bool OpenStreams::Add(std::shared_ptr<OpenStream> stream) {
  OpenStream& added = *stream;
  added.self_ = std::move(stream);
  streams_.push_back(added);
  if (ended_) added.CloseForShutdown();
  return !ended_;
}

void OpenStreams::Remove(OpenStream* stream) {
  if (stream->hook_.is_linked()) {
    streams_.erase(streams_.iterator_to(*stream));
    std::exchange(stream->self_, nullptr).reset();
  }
  CheckAllEnded();
}

Deferred<> OpenStreams::End() {
  ended_ = true;
  for (OpenStream& stream : streams_) stream.CloseForShutdown();
  CheckAllEnded();
  return all_ended_.deferred();
}

void OpenStreams::CheckAllEnded() {
  if (ended_ && streams_.empty()) all_ended_.FillIfEmpty();
}

}  // namespace portreeve::server
