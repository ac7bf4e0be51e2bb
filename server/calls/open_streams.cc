#include "server/calls/open_streams.h"

#include <utility>

#include "server/api/errors.h"

namespace portreeve::server {

bool OpenStreams::Add(std::shared_ptr<CallStream> stream) {
  CallStream* const key = stream.get();
  streams_.emplace(key, std::move(stream));
  if (ended_) key->Close(ShuttingDown());
  return !ended_;
}

void OpenStreams::Remove(CallStream* stream) {
  streams_.erase(stream);
  CheckAllEnded();
}

Deferred<> OpenStreams::End() {
  ended_ = true;
  for (const auto& [key, stream] : streams_) {
    stream->CloseIfUnused(ShuttingDown());
  }
  CheckAllEnded();
  return all_ended_.deferred();
}

void OpenStreams::CheckAllEnded() {
  if (ended_ && streams_.empty()) all_ended_.FillIfEmpty();
}

}  // namespace portreeve::server
