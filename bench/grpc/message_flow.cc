#include "bench/grpc/message_flow.h"

#include <algorithm>
#include <random>

namespace portreeve::bench {
namespace {

// Bytes that differ from place to place, the same ones each time.
std::string Noise(int bytes) {
  std::minstd_rand random;
  std::string noise(static_cast<size_t>(bytes), '\0');
  for (char& byte : noise) byte = static_cast<char>(random());
  return noise;
}

}  // namespace

MessageFlow::MessageFlow(int message_bytes, int in_flight, Tally& tally)
    : message_(Noise(message_bytes)),
      most_on_their_way_(int64_t{message_bytes} * in_flight),
      tally_(tally) {}

void MessageFlow::Add(int64_t messages) {
  total_ += messages * static_cast<int64_t>(message_.size());
}

std::string_view MessageFlow::ToSend() const {
  const int64_t at = sent_ % static_cast<int64_t>(message_.size());
  // A message that was begun is sent whole.
  if (at == 0 &&
      (sent_ == total_ ||
       sent_ - received_ >
           most_on_their_way_ - static_cast<int64_t>(message_.size()))) {
    return {};
  }
  return std::string_view(message_).substr(static_cast<size_t>(at));
}

void MessageFlow::OnSent(size_t bytes) {
  if (sent_ % static_cast<int64_t>(message_.size()) == 0) {
    begun_.push_back(Clock::now());
  }
  sent_ += static_cast<int64_t>(bytes);
}

bool MessageFlow::OnReceived(std::string_view data) {
  while (!data.empty()) {
    const auto at =
        static_cast<size_t>(received_ % static_cast<int64_t>(message_.size()));
    const size_t size = std::min(data.size(), message_.size() - at);
    if (received_ + static_cast<int64_t>(size) > sent_ ||
        data.substr(0, size) != std::string_view(message_).substr(at, size)) {
      return false;
    }
    received_ += static_cast<int64_t>(size);
    data.remove_prefix(size);
    if (at + size == message_.size()) {
      tally_.AddLatency(Clock::now() - begun_.front());
      begun_.pop_front();
    }
  }
  return true;
}

}  // namespace portreeve::bench
