// Mutex: std::mutex, and which data it guards, so that the compiler can check
// it.
#ifndef PORTREEVE_LIB_BASE_MUTEX_H_
#define PORTREEVE_LIB_BASE_MUTEX_H_

#include <chrono>
#include <condition_variable>
#include <mutex>

// What the compiler is told of locks.  Clang's -Wthread-safety, which is an
// error in this project, refuses each access that does not hold its lock; but
// not those by a reference or a pointer that was taken while it was held, and
// none in constructors and destructors.  To other compilers all of this is
// nothing.
#ifdef __clang__
#define PORTREEVE_THREAD_ATTRIBUTE(attribute) __attribute__((attribute))
#else
#define PORTREEVE_THREAD_ATTRIBUTE(attribute)
#endif

// Of a member: it, or what it points to, is used with `mutex` held only.
#define PORTREEVE_GUARDED_BY(mutex) \
  PORTREEVE_THREAD_ATTRIBUTE(guarded_by(mutex))
#define PORTREEVE_PT_GUARDED_BY(mutex) \
  PORTREEVE_THREAD_ATTRIBUTE(pt_guarded_by(mutex))

// Of a function or a lambda: it is called with these held, or with none of
// these held.
#define PORTREEVE_REQUIRES(...) \
  PORTREEVE_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define PORTREEVE_EXCLUDES(...) \
  PORTREEVE_THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))

// Of a function that is right for a reason that the compiler cannot see; a
// comment beside it says which.
#define PORTREEVE_NO_THREAD_SAFETY_ANALYSIS \
  PORTREEVE_THREAD_ATTRIBUTE(no_thread_safety_analysis)

// Of locks themselves.
#define PORTREEVE_CAPABILITY(name) PORTREEVE_THREAD_ATTRIBUTE(capability(name))
#define PORTREEVE_SCOPED_CAPABILITY PORTREEVE_THREAD_ATTRIBUTE(scoped_lockable)
#define PORTREEVE_ACQUIRE(...) \
  PORTREEVE_THREAD_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define PORTREEVE_RELEASE(...) \
  PORTREEVE_THREAD_ATTRIBUTE(release_capability(__VA_ARGS__))

namespace portreeve {

// Threads: any.
class PORTREEVE_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // MutexLock is the way to call them.
  void Lock() PORTREEVE_ACQUIRE() { mutex_.lock(); }
  void Unlock() PORTREEVE_RELEASE() { mutex_.unlock(); }

 private:
  friend class CondVar;

  std::mutex mutex_;
};

// Holds `mutex` for as long as it lives.
class PORTREEVE_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) PORTREEVE_ACQUIRE(mutex) : mutex_(mutex) {
    mutex_.Lock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;
  ~MutexLock() PORTREEVE_RELEASE() { mutex_.Unlock(); }

 private:
  Mutex& mutex_;
};

// Waits for what other threads change under a Mutex.  A wait may end without a
// reason, so that it stands in a loop; a predicate would be a function of its
// own to the compiler, which does not see there that the lock is held:
//
//   const MutexLock lock(mutex_);
//   while (!done_) changed_.Wait(mutex_);
//
// Threads: any.
class CondVar {
 public:
  // Gives `mutex` up while it waits.
  void Wait(Mutex& mutex) PORTREEVE_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }

  // The same until `deadline` at most, when it gives false.
  template <typename Clock, typename Duration>
  bool WaitUntil(Mutex& mutex,
                 std::chrono::time_point<Clock, Duration> deadline)
      PORTREEVE_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const std::cv_status status = condition_.wait_until(lock, deadline);
    lock.release();
    return status == std::cv_status::no_timeout;
  }

  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_MUTEX_H_
