#include "lib/net/write_buffer.h"

#include <algorithm>
#include <utility>

namespace portreeve {

void WriteBuffer::Append(std::string_view data) {
  if (bytes_.empty() && least_ > data.size()) bytes_.reserve(least_);
  bytes_.append(data);
  written_ += static_cast<int64_t>(data.size());
}

void WriteBuffer::AppendRest(std::span<const std::string_view> pieces,
                             size_t size) {
  size_t taken = size;
  written_ += static_cast<int64_t>(taken);
  size_t whole = bytes_.size() - taken;
  for (const std::string_view piece : pieces) whole += piece.size();
  // Growing piece by piece would copy, and hold, up to twice as much.
  if (whole > 0) bytes_.reserve(std::max(whole, least_));
  for (const std::string_view piece : pieces) {
    const size_t skipped = std::min(taken, piece.size());
    taken -= skipped;
    bytes_.append(piece.substr(skipped));
    written_ += static_cast<int64_t>(piece.size() - skipped);
  }
}

void WriteBuffer::DropTaken() {
  while (!stamps_.empty() && stamps_.front().end <= taken()) {
    stamps_.pop_front();
  }
  if (begin_ == bytes_.size()) {
    std::string().swap(bytes_);
    begin_ = 0;
  } else if (begin_ > bytes_.size() / 2) {
    bytes_.erase(0, begin_);
    begin_ = 0;
  }
}

void WriteBuffer::Stamp(TimePoint now) {
  if (!stamps_.empty() && now - stamps_.back().time < kGranularity) {
    stamps_.back().end = written_;
  } else {
    stamps_.push_back({written_, now});
  }
}

std::optional<TimePoint> WriteBuffer::oldest() const {
  if (stamps_.empty()) return std::nullopt;
  return stamps_.front().time;
}

void WriteBuffer::Freeze(FrozenWriter& frozen) const {
  frozen.to_write = bytes();
  for (const AgeStamp& stamp : stamps_) {
    frozen.ages.push_back({stamp.end - taken(), stamp.time});
  }
}

void WriteBuffer::Restore(FrozenWriter frozen, std::optional<TimePoint> now) {
  bytes_ = std::move(frozen.to_write);
  written_ = static_cast<int64_t>(bytes_.size());
  if (!now || bytes_.empty()) return;
  for (const FrozenWriter::Age& age : frozen.ages) {
    stamps_.push_back({std::min(age.end, written_), age.written});
  }
  if (stamps_.empty() || stamps_.back().end < written_) Stamp(*now);
}

}  // namespace portreeve
