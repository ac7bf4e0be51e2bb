#include "bench/event_loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "bench/net.h"

namespace portreeve::bench {

uint64_t NowNanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(now.tv_nsec);
}

EventLoop::EventLoop() : fd_(epoll_create1(EPOLL_CLOEXEC)) {
  if (fd_ < 0) Die("epoll_create1");
}

EventLoop::~EventLoop() { close(fd_); }

void EventLoop::Control(int operation, int fd, uint32_t events,
                        Watched* watched) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = watched;
  if (epoll_ctl(fd_, operation, fd, &event) != 0) Die("epoll_ctl");
}

void EventLoop::Add(int fd, uint32_t events, Watched* watched) {
  Control(EPOLL_CTL_ADD, fd, events, watched);
}

void EventLoop::Modify(int fd, uint32_t events, Watched* watched) {
  Control(EPOLL_CTL_MOD, fd, events, watched);
}

bool EventLoop::RunUntil(const std::function<bool()>& done, double seconds) {
  const uint64_t deadline =
      NowNanoseconds() + static_cast<uint64_t>(seconds * 1e9);
  epoll_event events[256];
  while (!done()) {
    const uint64_t now = NowNanoseconds();
    if (now >= deadline) return false;
    const int milliseconds = static_cast<int>((deadline - now) / 1'000'000) + 1;
    const int count = epoll_wait(fd_, events, 256, milliseconds);
    if (count < 0 && errno != EINTR) Die("epoll_wait");
    for (int i = 0; i < count; ++i) {
      static_cast<Watched*>(events[i].data.ptr)->OnEvents(events[i].events);
    }
  }
  return true;
}

}  // namespace portreeve::bench
