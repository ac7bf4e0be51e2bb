// DescriptorBudget: one bound on the descriptors of several servers.
#ifndef PORTREEVE_LIB_NET_DESCRIPTOR_BUDGET_H_
#define PORTREEVE_LIB_NET_DESCRIPTOR_BUDGET_H_

#include <functional>
#include <list>
#include <utility>

namespace portreeve {

// Counts the descriptors that connections may hold.  A server that gets none
// does not accept, and is called in its turn when some are given back.
// Threads: loop thread only.  Lifetime: it must outlive the servers that use
// it.
class DescriptorBudget {
 public:
  explicit DescriptorBudget(int limit) : limit_(limit), free_(limit) {}
  DescriptorBudget(const DescriptorBudget&) = delete;
  DescriptorBudget& operator=(const DescriptorBudget&) = delete;

  bool Has(int count) const { return count <= free_; }
  // Takes `count` descriptors.  CHECKs that there are as many.
  void Take(int count);
  // Takes `count` also where there are not as many: connections that another
  // process has let in are there, whatever this one may have.  Nobody else gets
  // any until enough are given back.
  void TakeAnyway(int count) { free_ -= count; }
  // Gives `count` back, and wakes those who wait, the first one first, as far
  // as what is free reaches.
  void GiveBack(int count);

  int num_free() const { return free_; }  // Below 0 after TakeAnyway().
  int num_taken() const { return limit_ - free_; }
  int limit() const { return limit_; }

  // A place in the queue of those who wait.  Its destructor leaves the queue.
  class Waiter {
   public:
    Waiter(DescriptorBudget& budget, std::function<void()> wake)
        : budget_(budget), wake_(std::move(wake)) {}
    ~Waiter() { Leave(); }
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    // Joins the queue, at its end, for `count` descriptors, unless it is in the
    // queue already.  When as many are free, it is taken out of the queue, and
    // `wake` is called once, which has to take them.
    void Join(int count);
    void Leave();

   private:
    friend class DescriptorBudget;
    DescriptorBudget& budget_;
    const std::function<void()> wake_;
    std::list<Waiter*>::iterator position_;
    int count_ = 0;
    bool joined_ = false;
  };

 private:
  const int limit_;
  int free_;
  std::list<Waiter*> waiters_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_DESCRIPTOR_BUDGET_H_
