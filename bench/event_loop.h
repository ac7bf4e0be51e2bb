// EventLoop: epoll(7) for the load generator.
#ifndef PORTREEVE_BENCH_EVENT_LOOP_H_
#define PORTREEVE_BENCH_EVENT_LOOP_H_

#include <cstdint>
#include <functional>
#include <vector>

namespace portreeve::bench {

// Reads the monotonic clock.
uint64_t NowNanoseconds();

class Watched {
 public:
  virtual void OnEvents(uint32_t events) = 0;

 protected:
  ~Watched() = default;
};

class EventLoop {
 public:
  EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  // Calls `watched` for events until the descriptor is closed.  It must outlive
  // the round of RunUntil() in which that happens, since it is still called for
  // other events of that round.
  void Add(int fd, uint32_t events, Watched* watched);
  void Modify(int fd, uint32_t events, Watched* watched);

  // Runs until `done`, which it asks after each round; gives false if that took
  // longer than `seconds`.
  bool RunUntil(const std::function<bool()>& done, double seconds);

 private:
  void Control(int operation, int fd, uint32_t events, Watched* watched);

  int fd_;
};

}  // namespace portreeve::bench

#endif  // PORTREEVE_BENCH_EVENT_LOOP_H_
