// DataBlock: the bytes of one `data` frame on their way to a client.
#ifndef PORTREEVE_SERVER_REMOTE_DATA_BLOCK_H_
#define PORTREEVE_SERVER_REMOTE_DATA_BLOCK_H_

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "absl/functional/function_ref.h"

namespace portreeve::server {

// The most bytes that a `data` frame of the daemon has, and one of a client.
constexpr size_t kMaxServerDataBytes = 64 * 1024;
constexpr size_t kMaxClientDataBytes = 256 * 1024;

// Memory with room before the bytes for the header of their frame, so that what
// recv(2) has put there is sent without a copy.
class DataBlock {
 public:
  static constexpr size_t kHeaderRoom = 8;

  // Makes a block of `size` bytes, which are not initialized.
  explicit DataBlock(size_t size);
  // Makes a block that has a copy of `data`.
  explicit DataBlock(std::string_view data);

  // The bytes.
  std::span<char> bytes() { return {memory_.get() + kHeaderRoom, size_}; }
  std::string_view data() const { return {memory_.get() + kHeaderRoom, size_}; }

  // Keeps the first `size` bytes.
  void Shrink(size_t size);

  // Puts `header`, of at most kHeaderRoom bytes, before the bytes, and gives
  // both as one.
  std::string_view Prepend(std::string_view header);

  // Gives the memory away, which the caller frees by std::free().  What the
  // other methods gave stays valid until then.
  void* Release() { return memory_.release(); }

 private:
  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };

  std::unique_ptr<char[], Free> memory_;
  size_t size_;
};

// Gives a block that `receive` has filled.  That is given space for
// kMaxServerDataBytes and gives the number of bytes that it put there, or
// nullopt where there is nothing yet, and so does this.
// Threads: any.  Each thread keeps one space, so that whoever has to wait holds
// none.
std::optional<DataBlock> ReceiveBlock(
    absl::FunctionRef<std::optional<size_t>(std::span<char>)> receive);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REMOTE_DATA_BLOCK_H_
