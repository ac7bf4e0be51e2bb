// What the program that preloads this has from malloc(3), at any time.
//
// At SIGRTMIN + 3 it gives what its heap does not use back to the system, and
// writes the bytes that it uses, in decimal, to the file $NIGHT_HEAP.  The file
// is there at once with all that it has.
#include <malloc.h>
#include <pthread.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

sigset_t Ask() {
  sigset_t ask;
  sigemptyset(&ask);
  sigaddset(&ask, SIGRTMIN + 3);
  return ask;
}

void Answer(const std::string& path) {
  malloc_trim(0);
  const struct mallinfo2 info = mallinfo2();
  const std::string unfinished = path + ".new";
  std::FILE* const file = std::fopen(unfinished.c_str(), "we");
  if (file == nullptr) return;  // Who asks waits in vain, and says so.
  std::fprintf(file, "%zu\n", info.uordblks + info.hblkhd);
  std::fclose(file);
  std::rename(unfinished.c_str(), path.c_str());
}

void* Serve(void*) {
  const char* const path = std::getenv("NIGHT_HEAP");
  const sigset_t ask = Ask();
  for (int number; path != nullptr && sigwait(&ask, &number) == 0;) {
    Answer(path);
  }
  return nullptr;
}

// Before main(): no thread takes the signal, and the own one takes none but
// that.
__attribute__((constructor)) void Begin() {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  if (pthread_create(&thread, nullptr, &Serve, nullptr) == 0) {
    pthread_detach(thread);
  }
  sigaddset(&before, SIGRTMIN + 3);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace
