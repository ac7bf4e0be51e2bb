// Content: what one side sends, known by its place.
#ifndef PORTREEVE_TESTS_MODEL_CONTENT_H_
#define PORTREEVE_TESTS_MODEL_CONTENT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace portreeve::model {

// An endless row of bytes, another for each key: whoever receives some of it
// can tell for each byte whether it is the one that stands there.
class Content {
 public:
  // The most bytes that At() gives.
  static constexpr size_t kMost = 256 * 1024;

  explicit Content(uint64_t key);

  // `size` bytes, from `position` on.
  std::string_view At(int64_t position, size_t size) const;

  // Where `data`, which was received at `position`, first differs.
  std::optional<int64_t> FirstDifference(int64_t position,
                                         std::string_view data) const;

 private:
  uint64_t shift_;
};

}  // namespace portreeve::model

#endif  // PORTREEVE_TESTS_MODEL_CONTENT_H_
