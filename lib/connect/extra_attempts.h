// ExtraAttempts: the attempts to connect that run beside a first one.
#ifndef PORTREEVE_LIB_CONNECT_EXTRA_ATTEMPTS_H_
#define PORTREEVE_LIB_CONNECT_EXTRA_ATTEMPTS_H_

namespace portreeve {

// A connection is counted with the descriptor that it is to have in the end.
// Each attempt beside the first one of a connect takes one more, and a name may
// have any number of addresses that do not answer: in the whole process there
// are no more than DescriptorPart allows.
//
// An ExtraAttempts has those of one connect; its destructor gives all of them
// back.
// Threads: one for each object; the count of the process is for all threads.
class ExtraAttempts {
 public:
  ExtraAttempts() = default;
  ExtraAttempts(const ExtraAttempts&) = delete;
  ExtraAttempts& operator=(const ExtraAttempts&) = delete;
  ~ExtraAttempts() { KeepAtMost(0); }

  // Takes one more; returns false where there may be no more.
  bool Take();
  // Gives back all but `count`.
  void KeepAtMost(int count);

  int num_taken() const { return num_taken_; }

 private:
  int num_taken_ = 0;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_CONNECT_EXTRA_ATTEMPTS_H_
