#include "lib/net/any_connection.h"

#include <atomic>

#include "lib/base/check.h"

namespace portreeve {
namespace {

std::atomic<int64_t> next_id{1};

}  // namespace

AnyConnection::AnyConnection()
    : id_(next_id.fetch_add(1, std::memory_order_relaxed)) {}

int64_t AnyConnection::NextId() {
  return next_id.load(std::memory_order_relaxed);
}

void AnyConnection::SetNextId(int64_t id) {
  PORTREEVE_CHECK(id >= 1);
  int64_t first = 1;
  PORTREEVE_CHECK(next_id.compare_exchange_strong(first, id));
}

}  // namespace portreeve
