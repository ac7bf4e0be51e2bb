#include "lib/base/monitor.h"

#include <new>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/log.h"

namespace portreeve {
struct Monitor::Node {
  std::shared_ptr<Node> parent;
  std::string name;
  // It is shared with whoever calls it, since to copy the pointer takes no
  // memory.
  std::shared_ptr<const Handler> handler;
};

Monitor::Monitor(std::shared_ptr<Node> node) : node_(std::move(node)) {}

Monitor Monitor::TopLevel() {
  static auto* const root =
      new std::shared_ptr<Node>(std::make_shared<Node>(Node{{}, "main", {}}));
  return Monitor(*root);
}

Monitor::Monitor() : Monitor(TopLevel()) {}

Monitor::Monitor(const Monitor& parent, std::string name, Handler handler)
    : node_(std::make_shared<Node>(Node{parent.node_, std::move(name), {}})) {
  if (handler) {
    node_->handler = std::make_shared<const Handler>(std::move(handler));
  }
}

void Monitor::Detach() { node_->handler = nullptr; }

void Monitor::Send(std::exception_ptr error) const {
  PORTREEVE_CHECK(error != nullptr);
  for (std::shared_ptr<Node> node = node_; node; node = node->parent) {
    // This is a copy, since the handler may detach, and so destroy, itself.
    const std::shared_ptr<const Handler> handler = node->handler;
    if (!handler) continue;
    try {
      (*handler)(error);
      return;
    } catch (...) {
      error = std::current_exception();
    }
  }
  try {
    Log(LogLevel::kError, "unhandled error: " + DescribeException(error));
  } catch (const std::bad_alloc&) {
    Log(LogLevel::kError, "unhandled error, and no memory for its text");
  }
}

const std::string& Monitor::name() const { return node_->name; }

std::string DescribeException(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

}  // namespace portreeve
