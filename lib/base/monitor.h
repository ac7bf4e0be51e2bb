// Monitor: where errors go that nobody awaits (docs/CONFORMANCE.md, C6).
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_BASE_MONITOR_H_
#define PORTREEVE_LIB_BASE_MONITOR_H_

#include <exception>
#include <functional>
#include <memory>
#include <string>

namespace portreeve {

// A handle on a node of the tree of monitors; copies are the same node and
// compare equal.  Every coroutine has a current monitor, that of its Executor
// (lib/base/executor.h).  An error is handled by the nearest monitor, going up
// from the one it was sent to, that has a handler; the top-level monitor logs
// it (lib/base/log.h). So no error is lost, and none ends the process.
//
// Threads: a monitor belongs to one loop.  TopLevel(): any thread.
class Monitor {
 public:
  using Handler = std::function<void(std::exception_ptr)>;

  // Gives the root of the tree, of which the process has one.
  static Monitor TopLevel();

  // Is the same as TopLevel().
  Monitor();

  // Makes a child of `parent`.  `handler` gets each error sent to this monitor
  // or to a descendant that has no handler; an error that `handler` throws goes
  // to `parent`.  Without a handler the errors go to `parent`.
  Monitor(const Monitor& parent, std::string name, Handler handler = nullptr);

  // Takes the handler away: later errors go to the parent.  It is for owners
  // whose handler refers to something that is about to go.
  void Detach();

  // Reports `error`, which must not be null.  Never throws.
  void Send(std::exception_ptr error) const;

  const std::string& name() const;

  friend bool operator==(const Monitor& a, const Monitor& b) {
    return a.node_ == b.node_;
  }

 private:
  struct Node;
  explicit Monitor(std::shared_ptr<Node> node);

  std::shared_ptr<Node> node_;
};

// Gives the text of an exception: what() of a std::exception, else a fixed
// phrase.
std::string DescribeException(std::exception_ptr error);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_MONITOR_H_
