#include "server/events/access_line.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <variant>

#include "absl/strings/strip.h"
#include "lib/net/address.h"
#include "server/api/json_line.h"
#include "server/api/timestamp.h"

namespace portreeve::server {
namespace {

absl::string_view NameOf(AccessEvent event) {
  switch (event) {
    case AccessEvent::kOpen:
      return "open";
    case AccessEvent::kAlive:
      return "alive";
    case AccessEvent::kDrop:
      return "drop";
    case AccessEvent::kClose:
      break;
  }
  return "close";
}

using ReasonNames = std::array<std::string, v1::CloseReason_ARRAYSIZE>;

ReasonNames MakeReasonNames() {
  ReasonNames names;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto reason = static_cast<v1::CloseReason>(i);
    names[i] = std::string(
        absl::StripPrefix(v1::CloseReason_Name(reason), "CLOSE_REASON_"));
  }
  return names;
}

// Gives "PEER_CLOSED".
absl::string_view NameOf(v1::CloseReason reason) {
  static const auto* const kNames = new ReasonNames(MakeReasonNames());
  return kNames->at(static_cast<size_t>(reason));
}

// The most bytes of a line without its listener, unix paths and labels.
constexpr size_t kMostOtherBytes = 640;

// A number from 0 to 255 with a point behind it, as IPv4 addresses have them.
struct ByteText {
  std::array<char, 4> characters{};
  uint8_t size = 0;
};

constexpr std::array<ByteText, 256> MakeByteTexts() {
  std::array<ByteText, 256> texts;
  for (size_t byte = 0; byte < texts.size(); ++byte) {
    ByteText& text = texts[byte];
    for (size_t unit = 100; unit > 0; unit /= 10) {
      if (byte < unit && unit > 1) continue;
      text.characters[text.size++] = static_cast<char>('0' + byte / unit % 10);
    }
    text.characters[text.size++] = '.';
  }
  return texts;
}

constexpr std::array<ByteText, 256> kByteTexts = MakeByteTexts();

// Writes a line to memory that it fits into.
class Writer {
 public:
  explicit Writer(char* begin) : begin_(begin), end_(begin) {}

  size_t size() const { return static_cast<size_t>(end_ - begin_); }

  // The compiler turns these into stores.
  template <size_t kSize>
  void Put(const char (&literal)[kSize]) {
    std::memcpy(end_, literal, kSize - 1);
    end_ += kSize - 1;
  }
  void Put(char c) { *end_++ = c; }
  void PutText(absl::string_view text) {
    std::memcpy(end_, text.data(), text.size());
    end_ += text.size();
  }

  void PutNumber(int64_t number) {
    constexpr size_t kMostDigits = 20;
    end_ = std::to_chars(end_, end_ + kMostDigits, number).ptr;
  }

  void PutSeconds(Duration duration) {
    constexpr int64_t kMicrosPerSecond = 1'000'000;
    // The clock of the calendar may have been set back.
    const int64_t micros = std::max<int64_t>(
        0, std::chrono::floor<std::chrono::microseconds>(duration).count());
    PutNumber(micros / kMicrosPerSecond);
    auto rest = static_cast<uint32_t>(micros % kMicrosPerSecond);
    if (rest == 0) return;
    Put('.');
    constexpr size_t kDigits = 6;
    size_t wanted = 0;  // Without the zeros at the end.
    for (size_t i = kDigits; i > 0; --i) {
      const uint32_t digit = rest % 10;
      if (wanted == 0 && digit != 0) wanted = i;
      end_[i - 1] = static_cast<char>('0' + digit);
      rest /= 10;
    }
    end_ += wanted;
  }

  void PutInet(const Inet::Address& inet) {
    const asio::ip::address ip = inet.address();
    if (ip.is_v4()) {
      for (const uint8_t byte : ip.to_v4().to_bytes()) {
        const ByteText& text = kByteTexts[byte];
        std::memcpy(end_, text.characters.data(), text.characters.size());
        end_ += text.size;
      }
      --end_;
    } else {
      Put('[');
      PutText(ip.to_v6().to_string());
      Put(']');
    }
    Put(':');
    PutNumber(inet.port());
  }

  // The id in the connection's name, as ConnectionName() has it.
  void PutId(int64_t id) {
    char* const letter = end_++;
    PutNumber(id);
    *letter = static_cast<char>('a' + (end_ - letter) - 2);
  }

 private:
  char* const begin_;
  char* end_;
};

// An address, and the string for it where it is a unix one.
struct Address {
  explicit Address(const AnyAddress* any) {
    if (any == nullptr) return;
    inet = std::get_if<Inet::Address>(any);
    if (inet != nullptr) return;
    const std::string path = std::get<Unix::Address>(*any).path();
    AppendJsonString(UnixPathText({path.data(), path.size()}), string);
  }

  void PutTo(Writer& writer) const {
    if (inet == nullptr) return writer.PutText(string);
    writer.Put('"');
    writer.PutInet(*inet);
    writer.Put('"');
  }

  bool is_there() const { return inet != nullptr || !string.empty(); }

  const Inet::Address* inet = nullptr;
  std::string string;
};

}  // namespace

absl::string_view AccessLine::Of(const AccessEntry& entry) {
  const ConnectionRecord& connection = *entry.connection;
  const bool ends =
      entry.event == AccessEvent::kClose || entry.event == AccessEvent::kDrop;
  const bool has_lived =
      entry.event == AccessEvent::kClose || entry.event == AccessEvent::kAlive;
  const Address peer(connection.peer);
  const Address local(connection.local);
  const Address upstream(connection.upstream);
  const size_t most = kMostOtherBytes + entry.listener_id.size() +
                      entry.labels.size() + peer.string.size() +
                      local.string.size() + upstream.string.size();
  if (line_.size() < most) line_.resize(most);
  Writer writer(line_.data());
  writer.Put("{\"time\":\"");
  writer.PutText(time_.Of(entry.time));
  writer.Put("\",\"event\":\"");
  writer.PutText(NameOf(entry.event));
  if (!entry.listener_id.empty()) {
    writer.Put("\",\"listener\":\"");
    writer.PutText(entry.listener_id);  // Letters, digits and '-'.
  }
  writer.Put("\",\"connection\":\"");
  writer.PutId(connection.id);
  writer.Put('"');
  if (peer.is_there()) {
    writer.Put(",\"peer\":");
    peer.PutTo(writer);
  }
  if (local.is_there()) {
    writer.Put(",\"local\":");
    local.PutTo(writer);
  }
  if (upstream.is_there()) {
    writer.Put(",\"upstream\":");
    upstream.PutTo(writer);
  }
  if (has_lived) {
    writer.Put(",\"received\":");
    writer.PutNumber(connection.bytes_received);
    writer.Put(",\"sent\":");
    writer.PutNumber(connection.bytes_sent);
    writer.Put(",\"duration\":");
    writer.PutSeconds(Duration(entry.time - connection.create_time));
  }
  if (entry.connect) {
    writer.Put(",\"connect\":");
    writer.PutSeconds(*entry.connect);
  }
  if (ends) {
    writer.Put(",\"reason\":\"");
    writer.PutText(NameOf(connection.close_reason));
    writer.Put('"');
  }
  if (!entry.labels.empty()) {
    writer.Put(",\"labels\":");
    writer.PutText(entry.labels);
  }
  writer.Put('}');
  return {line_.data(), writer.size()};
}

std::string AccessLine::OfLost(int64_t lines) {
  UtcText time;
  return JsonLine(
      {{"time", time.Of(UnixNanosNow())}, {"event", "lost"}, {"lines", lines}});
}

}  // namespace portreeve::server
