// FloodFrames: what a client of HTTP/2 (RFC 9113) sends that means harm.
#ifndef PORTREEVE_TESTS_FLOODS_FLOOD_FRAMES_H_
#define PORTREEVE_TESTS_FLOODS_FLOOD_FRAMES_H_

#include <cstdint>
#include <string>

namespace portreeve::testing {

enum class FloodKind {
  kOpen,          // Streams that do not end.
  kEnd,           // Streams with one empty message, and their end.
  kHeadersOnly,   // Streams that end without a message.
  kReset,         // Streams that are taken back at once.
  kContinuation,  // One header block without an end.
  kPing,
  kSettings,
  kEmptyData,
  kWindowUpdate,
  kPriority,
};

// Makes the bytes of one connection, without an end.
// Threads: one.
class FloodFrames {
 public:
  // `path` is the method of the streams, "/package.Service/Method".  Not empty,
  // `dial` is the first message of a call of Dial, which comes before them all
  // and stays open.
  FloodFrames(FloodKind kind, const std::string& path,
              const std::string& dial = "")
      : kind_(kind), path_(path), dial_(dial) {}

  // What comes first, with one stream from which the later ones take their
  // header fields by number: 15 bytes each.
  std::string Beginning();

  // About `bytes` more.
  std::string Next(size_t bytes);

 private:
  void Add(std::string& to);

  const FloodKind kind_;
  const std::string path_;
  const std::string dial_;
  uint32_t next_stream_ = 1;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_FLOODS_FLOOD_FRAMES_H_
