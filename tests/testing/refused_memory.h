// RefuseMemoryAfter(): operator new that gives no memory for a while.
#ifndef PORTREEVE_TESTS_TESTING_REFUSED_MEMORY_H_
#define PORTREEVE_TESTS_TESTING_REFUSED_MEMORY_H_

#include <boost/asio/io_context.hpp>
#include <limits>
#include <new>

namespace portreeve::testing {

// From now on memory is given `times` times, refused `num_refusals` times, and
// given again: to operator new, and to aligned_alloc(), which Asio takes its
// memory by; but to gRPC and protobuf it is always given.
// Whoever links this has both; the sanitizers' own are not replaced.
// Threads: one.
void RefuseMemoryAfter(int times, int num_refusals = 1);

// It stays away until GiveMemoryAgain().
inline constexpr int kUntilGivenAgain = std::numeric_limits<int>::max();

// From now on, until this is called with false, memory is refused to all
// threads but this one.
void RefuseMemoryToOthers(bool refused);
// How many times that was done since the last call of RefuseMemoryToOthers().
int NumRefusedToOthers();

// While there is one, memory is given to this thread, and not counted: for what
// is none of the code under test.
class GivenMemory {
 public:
  GivenMemory();
  ~GivenMemory();
  GivenMemory(const GivenMemory&) = delete;
  GivenMemory& operator=(const GivenMemory&) = delete;

 private:
  const int before_;
};

// Refuses none any more.  Whether one was refused since RefuseMemoryAfter().
bool GiveMemoryAgain();

// Runs one function of `loop` if one is ready, as a loop whose thread survives
// what is thrown.  False if none was.
inline bool PollOne(boost::asio::io_context& loop) {
  loop.restart();
  try {
    return loop.poll_one() > 0;
  } catch (const std::bad_alloc&) {
    return true;
  }
}

// Runs whatever is ready, likewise.
inline void SettleWithoutMemory(boost::asio::io_context& loop) {
  while (PollOne(loop)) {
  }
}

// Does so after RefuseMemoryAfter().  False if memory was asked for no more
// than `given` times.
inline bool SettleWithMemory(boost::asio::io_context& loop, int given,
                             int num_refusals = 1) {
  RefuseMemoryAfter(given, num_refusals);
  SettleWithoutMemory(loop);
  return GiveMemoryAgain();
}

// A `Base`, a FakeClientStream, that wakes those who wait for it whatever
// memory there is, for it is no part of what is tested.
template <typename Base>
class StreamWithMemory final : public Base {
 public:
  using Base::Base;

 private:
  void Change() override {
    const GivenMemory given;
    Base::Change();
  }
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_REFUSED_MEMORY_H_
