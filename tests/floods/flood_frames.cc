#include "tests/floods/flood_frames.h"

#include <string_view>

namespace portreeve::testing {
namespace {

enum Type : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriorityType = 2,
  kRstStream = 3,
  kSettingsType = 4,
  kPingType = 6,
  kWindowUpdateType = 8,
  kContinuationType = 9,
};
constexpr uint8_t kEndStream = 1;
constexpr uint8_t kEndHeaders = 4;

using namespace std::string_view_literals;  // NOLINT: literals only.

void AddNumber(std::string& to, uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    to += static_cast<char>(number >> shift & 0xff);
  }
}

void AddFrame(std::string& to, uint8_t type, uint8_t flags, uint32_t stream,
              std::string_view payload) {
  std::string size;
  AddNumber(size, static_cast<uint32_t>(payload.size()));
  to.append(size, 1);
  to += static_cast<char>(type);
  to += static_cast<char>(flags);
  AddNumber(to, stream);
  to += payload;
}

// A string of HPACK (RFC 7541) of at most 126 bytes.
std::string Text(const std::string& text) {
  return static_cast<char>(text.size()) + text;
}

// With each field put into the table of HPACK, the method last but three.
std::string FirstHeaders(const std::string& path) {
  return "\x83\x86"  // POST, http.
         "\x44" +
         Text(path) +                         // :path.
         "\x41" + Text("localhost") +         // :authority.
         "\x5f" + Text("application/grpc") +  // content-type.
         "\x40" + Text("te") + Text("trailers");
}

// The same out of the table.
constexpr auto kHeadersAgain = "\x83\x86\xc1\xc0\xbf\xbe"sv;
constexpr auto kEmptyMessage = "\0\0\0\0\0"sv;
constexpr auto kCancel = "\0\0\0\x08"sv;
constexpr auto kOne = "\0\0\0\x01"sv;
constexpr auto kInitialWindow = "\0\x04\0\0\xff\xff"sv;
constexpr auto kDependency = "\0\0\0\0\x10"sv;
// Not put into the table: "x-flood: yyyy...".
constexpr auto kField = "\0\x07x-flood\x20yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"sv;

}  // namespace

std::string FloodFrames::Beginning() {
  std::string bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  AddFrame(bytes, kSettingsType, 0, 0, "");
  if (!dial_.empty()) {
    AddFrame(bytes, kHeaders, kEndHeaders, next_stream_,
             FirstHeaders("/portreeve.v1.ConnectionService/Dial"));
    std::string message(1, '\0');  // Not compressed.
    AddNumber(message, static_cast<uint32_t>(dial_.size()));
    AddFrame(bytes, kData, 0, next_stream_, message + dial_);
    next_stream_ += 2;
  }
  const bool is_continued = kind_ == FloodKind::kContinuation;
  AddFrame(bytes, kHeaders, is_continued ? 0 : kEndHeaders, next_stream_,
           FirstHeaders(path_));
  next_stream_ += 2;
  return bytes;
}

std::string FloodFrames::Next(size_t bytes) {
  std::string frames;
  frames.reserve(bytes + 64);
  while (frames.size() < bytes) Add(frames);
  return frames;
}

void FloodFrames::Add(std::string& to) {
  const uint32_t stream = next_stream_;
  switch (kind_) {
    case FloodKind::kOpen:
      next_stream_ += 2;
      return AddFrame(to, kHeaders, kEndHeaders, stream, kHeadersAgain);
    case FloodKind::kEnd:
      next_stream_ += 2;
      AddFrame(to, kHeaders, kEndHeaders, stream, kHeadersAgain);
      return AddFrame(to, kData, kEndStream, stream, kEmptyMessage);
    case FloodKind::kHeadersOnly:
      next_stream_ += 2;
      return AddFrame(to, kHeaders, kEndHeaders | kEndStream, stream,
                      kHeadersAgain);
    case FloodKind::kReset:
      next_stream_ += 2;
      AddFrame(to, kHeaders, kEndHeaders | kEndStream, stream, kHeadersAgain);
      return AddFrame(to, kRstStream, 0, stream, kCancel);
    case FloodKind::kContinuation:
      return AddFrame(to, kContinuationType, 0, 1, kField);
    case FloodKind::kPing:
      return AddFrame(to, kPingType, 0, 0, "12345678");
    case FloodKind::kSettings:
      return AddFrame(to, kSettingsType, 0, 0, kInitialWindow);
    case FloodKind::kEmptyData:
      return AddFrame(to, kData, 0, 1, "");
    case FloodKind::kWindowUpdate:
      return AddFrame(to, kWindowUpdateType, 0, 0, kOne);
    case FloodKind::kPriority:
      return AddFrame(to, kPriorityType, 0, 1, kDependency);
  }
}

}  // namespace portreeve::testing
