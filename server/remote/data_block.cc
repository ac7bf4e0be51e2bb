#include "server/remote/data_block.h"

#include <cstring>
#include <new>
#include <utility>

#include "lib/base/check.h"

namespace portreeve::server {

DataBlock::DataBlock(size_t size)
    : memory_(static_cast<char*>(std::malloc(kHeaderRoom + size))),
      size_(size) {
  if (memory_ == nullptr) throw std::bad_alloc();
}

DataBlock::DataBlock(std::string_view data) : DataBlock(data.size()) {
  std::memcpy(bytes().data(), data.data(), data.size());
}

void DataBlock::Shrink(size_t size) {
  PORTREEVE_CHECK(size <= size_);
  size_ = size;
}

std::string_view DataBlock::Prepend(std::string_view header) {
  PORTREEVE_CHECK(header.size() <= kHeaderRoom);
  char* const begin = memory_.get() + kHeaderRoom - header.size();
  std::memcpy(begin, header.data(), header.size());
  return {begin, header.size() + size_};
}

std::optional<DataBlock> ReceiveBlock(
    absl::FunctionRef<std::optional<size_t>(std::span<char>)> receive) {
  thread_local DataBlock space(kMaxServerDataBytes);
  const std::optional<size_t> size = receive(space.bytes());
  if (!size) return std::nullopt;
  // Bulk is not copied, but a few bytes are, since they would hold a lot of
  // memory.
  if (*size < kMaxServerDataBytes / 4) {
    return DataBlock(space.data().substr(0, *size));
  }
  DataBlock full = std::exchange(space, DataBlock(kMaxServerDataBytes));
  full.Shrink(*size);
  return full;
}

}  // namespace portreeve::server
