// Mutex: a std::mutex whose guarded data the compiler knows, so that it can
// check every access.
#ifndef PORTREEVE_LIB_BASE_MUTEX_H_
#define PORTREEVE_LIB_BASE_MUTEX_H_

#include <chrono>
#include <condition_variable>
#include <mutex>

// These macros say to the compiler what locks guard.  Clang's -Wthread-safety,
// which is an error in this project, refuses each access that does not hold its
// lock; but not those by a reference or a pointer that was taken while it was
// held, and none in constructors and destructors.  Other compilers ignore all
// of this.
#ifdef __clang__
#define PORTREEVE_THREAD_ATTRIBUTE(attribute) __attribute__((attribute))
#else
#define PORTREEVE_THREAD_ATTRIBUTE(attribute)
#endif

// For a member: it, or what it points to, is used only while `mutex` is held.
#define PORTREEVE_GUARDED_BY(mutex) \
  PORTREEVE_THREAD_ATTRIBUTE(guarded_by(mutex))
#define PORTREEVE_PT_GUARDED_BY(mutex) \
  PORTREEVE_THREAD_ATTRIBUTE(pt_guarded_by(mutex))

// For a function or a lambda: it is called with all of these held, or with none
// of them held.
#define PORTREEVE_REQUIRES(...) \
  PORTREEVE_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define PORTREEVE_EXCLUDES(...) \
  PORTREEVE_THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))

// For a function that is right for a reason that the compiler cannot see; a
// comment beside it says which.
#define PORTREEVE_NO_THREAD_SAFETY_ANALYSIS \
  PORTREEVE_THREAD_ATTRIBUTE(no_thread_safety_analysis)

// For the classes of locks themselves.
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

  // MutexLock calls them; nobody else need.
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
// reason, so that it has to stand in a loop.  A predicate in place of the loop
// would be a function of its own to the compiler, which would not see that the
// lock is held there:
//
//   const MutexLock lock(mutex_);
//   while (!done_) changed_.Wait(mutex_);
//
// Threads: any.
class CondVar {
 public:
  // Waits for NotifyAll(), and gives `mutex` up meanwhile.
  void Wait(Mutex& mutex) PORTREEVE_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }

  // Does the same until `deadline` at most, when it returns false.
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
