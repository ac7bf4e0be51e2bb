#include "lib/net/any_connection.h"

#include <atomic>

namespace portreeve {
namespace {

int64_t NextId() {
  static std::atomic<int64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

AnyConnection::AnyConnection() : id_(NextId()) {}

}  // namespace portreeve
