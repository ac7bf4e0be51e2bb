// RefuseMemoryAfter(): operator new that gives no memory, once.
#ifndef PORTREEVE_TESTS_TESTING_REFUSED_MEMORY_H_
#define PORTREEVE_TESTS_TESTING_REFUSED_MEMORY_H_

namespace portreeve::testing {

// From now on memory is given `times` times, refused once, and given again: to
// operator new, and to aligned_alloc(), which Asio takes its memory by; but to
// gRPC and protobuf it is always given.
// Whoever links this has both; the sanitizers' own are not replaced.
// Threads: one.
void RefuseMemoryAfter(int times);

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

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_REFUSED_MEMORY_H_
