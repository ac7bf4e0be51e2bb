#include "server/events/connection_record.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <string>

#include "lib/base/check.h"
#include "server/api/convert.h"
#include "server/api/names.h"
#include "server/api/timestamp.h"
#include "server/api/utf8.h"

namespace portreeve::server {
namespace {

// What is packed, in this order, and the addresses after it.  Numbers are there
// where one is not 0, and a failure, behind the addresses, where there is one.
struct Numbers {
  int64_t bytes_received;
  int64_t bytes_sent;
  int64_t bytes_to_write;
  int64_t close_time;
};
struct Head {
  int64_t id;
  int64_t create_time;
  uint8_t direction;
  uint8_t state;
  uint8_t close_reason;
  uint8_t parts;
};
// The size without the padding at its end.
constexpr size_t kHeadBytes = offsetof(Head, parts) + 1;
// A process of another version may read what is packed: its layout, and the
// order of Reason, are those of a version of saved_events.h.
static_assert(kHeadBytes == 20 && sizeof(Numbers) == 32);
static_assert(static_cast<int>(Reason::kOther) == 15);
// The bits of `parts`.
constexpr uint8_t kHasNumbers = 1;
constexpr uint8_t kHasFailure = 2;

// What a failure begins with; its message follows.
struct FailureHead {
  int32_t error_number;
  uint16_t message_bytes;
  uint8_t reason;
};
constexpr size_t kFailureHeadBytes = offsetof(FailureHead, reason) + 1;

// What an address begins with.
enum class Family : char { kNone, kV4, kV6, kUnix };

using V4 = asio::ip::address_v4::bytes_type;
using V6 = asio::ip::address_v6::bytes_type;

class Packer {
 public:
  explicit Packer(char* buffer) : begin_(buffer), end_(buffer) {}

  size_t size() const { return static_cast<size_t>(end_ - begin_); }

  void Bytes(const void* data, size_t size) {
    std::memcpy(end_, data, size);
    end_ += size;
  }
  template <typename T>
  void Value(const T& value) {
    Bytes(&value, sizeof(value));
  }
  void Failure(const ConnectionFailure& failure) {
    const size_t size = std::min(failure.message.size(), kMaxErrorTextBytes);
    const FailureHead head{failure.error_number, static_cast<uint16_t>(size),
                           static_cast<uint8_t>(failure.reason)};
    Bytes(&head, kFailureHeadBytes);
    Bytes(failure.message.data(), size);
  }
  void Address(const AnyAddress* address) {
    if (address == nullptr) {
      Value(Family::kNone);
    } else if (const auto* inet = std::get_if<Inet::Address>(address)) {
      PackInet(*inet);
    } else {
      const std::string path = std::get<Unix::Address>(*address).path();
      Value(Family::kUnix);
      Value(static_cast<uint8_t>(path.size()));
      Bytes(path.data(), path.size());
    }
  }

 private:
  void PackInet(const Inet::Address& inet) {
    const asio::ip::address ip = inet.address();
    if (ip.is_v4()) {
      Value(Family::kV4);
      Value(ip.to_v4().to_bytes());
    } else {
      Value(Family::kV6);
      Value(ip.to_v6().to_bytes());
      Value(static_cast<uint32_t>(ip.to_v6().scope_id()));
    }
    Value(static_cast<uint16_t>(inet.port()));
  }

  char* const begin_;
  char* end_;
};

// Gives how many bytes the address has that `packed` begins with; 0 where it
// begins with none.
size_t AddressBytes(absl::string_view packed) {
  if (packed.empty()) return 0;
  switch (static_cast<Family>(packed.front())) {
    case Family::kNone:
      return 1;
    case Family::kV4:
      return 1 + sizeof(V4) + sizeof(uint16_t);
    case Family::kV6:
      return 1 + sizeof(V6) + sizeof(uint32_t) + sizeof(uint16_t);
    case Family::kUnix:
      return packed.size() < 2 ? 0 : 2 + static_cast<uint8_t>(packed[1]);
  }
  return 0;
}

class Unpacker {
 public:
  explicit Unpacker(absl::string_view bytes) : rest_(bytes) {}

  absl::string_view Bytes(size_t size) {
    PORTREEVE_DCHECK(size <= rest_.size());
    const absl::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }
  void To(void* data, size_t size) {
    std::memcpy(data, Bytes(size).data(), size);
  }
  template <typename T>
  T Value() {
    T value;
    To(&value, sizeof(value));
    return value;
  }
  // The bytes of an address, with its family.
  absl::string_view Address() {
    const size_t size = AddressBytes(rest_);
    PORTREEVE_CHECK(size > 0);
    return Bytes(size);
  }
  Head ReadHead() {
    Head head{};
    To(&head, kHeadBytes);
    return head;
  }

 private:
  absl::string_view rest_;
};

Numbers ReadNumbers(Unpacker& packed, const Head& head) {
  return (head.parts & kHasNumbers) != 0 ? packed.Value<Numbers>() : Numbers{};
}

absl::string_view WriteV4(const V4& bytes, std::array<char, 16>& text) {
  char* end = text.data();
  for (const unsigned byte : bytes) {
    if (byte >= 100) *end++ = static_cast<char>('0' + byte / 100);
    if (byte >= 10) *end++ = static_cast<char>('0' + byte / 10 % 10);
    *end++ = static_cast<char>('0' + byte % 10);
    *end++ = '.';
  }
  return {text.data(), static_cast<size_t>(end - text.data() - 1)};
}

void WriteInet(Unpacker address, bool is_v4, BackwardWriter& writer) {
  using Message = v1::Address::Inet;
  const size_t end = writer.size();
  if (is_v4) {
    const V4 bytes = address.Value<V4>();
    writer.Int(Message::kPortFieldNumber, address.Value<uint16_t>());
    std::array<char, 16> text;
    writer.String(Message::kAddressFieldNumber, WriteV4(bytes, text));
  } else {
    const V6 bytes = address.Value<V6>();
    const auto scope_id = address.Value<uint32_t>();
    writer.Int(Message::kPortFieldNumber, address.Value<uint16_t>());
    writer.String(Message::kAddressFieldNumber,
                  asio::ip::address_v6(bytes, scope_id).to_string());
  }
  writer.Message(v1::Address::kInetFieldNumber, end);
}

void WriteUnix(Unpacker address, BackwardWriter& writer) {
  const size_t end = writer.size();
  const absl::string_view path = address.Bytes(address.Value<uint8_t>());
  writer.String(v1::Address::UnixSocket::kPathFieldNumber, EscapeNonUtf8(path));
  writer.Message(v1::Address::kUnixSocketFieldNumber, end);
}

void WriteAddress(int field, absl::string_view packed, BackwardWriter& writer) {
  Unpacker address(packed);
  const auto family = address.Value<Family>();
  if (family == Family::kNone) return;
  const size_t end = writer.size();
  if (family == Family::kUnix) {
    WriteUnix(address, writer);
  } else {
    WriteInet(address, family == Family::kV4, writer);
  }
  writer.Message(field, end);
}

void WriteFailure(Unpacker& packed, BackwardWriter& writer) {
  using Message = v1::ConnectionFailure;
  FailureHead head{};
  packed.To(&head, kFailureHeadBytes);
  const absl::string_view message = packed.Bytes(head.message_bytes);
  const size_t end = writer.size();
  writer.Int(Message::kErrorNumberFieldNumber, head.error_number);
  writer.String(Message::kMessageFieldNumber, message);
  writer.String(Message::kReasonFieldNumber,
                FailureReasonName(static_cast<Reason>(head.reason)));
  writer.Message(v1::Connection::kFailureFieldNumber, end);
}

// Writes the name that ConnectionName() gives, without a string of its own.
void WriteName(int64_t id, BackwardWriter& writer) {
  constexpr absl::string_view kPrefix = "connections/";
  std::array<char, 40> text;
  std::memcpy(text.data(), kPrefix.data(), kPrefix.size());
  char* const length = text.data() + kPrefix.size();
  char* const digits = length + 1;
  char* const end = std::to_chars(digits, text.data() + text.size(), id).ptr;
  *length = static_cast<char>('a' + (end - digits) - 1);
  writer.String(v1::Connection::kNameFieldNumber,
                {text.data(), static_cast<size_t>(end - text.data())});
}

}  // namespace

v1::Connection ToProto(const ConnectionRecord& record,
                       const std::string& listener_name) {
  v1::Connection message;
  message.set_name(ConnectionName(record.id));
  message.set_listener(listener_name);
  message.set_direction(record.direction);
  message.set_state(record.state);
  if (record.peer != nullptr) *message.mutable_peer() = ToProto(*record.peer);
  if (record.local != nullptr) {
    *message.mutable_local() = ToProto(*record.local);
  }
  if (record.upstream != nullptr) {
    *message.mutable_upstream() = ToProto(*record.upstream);
  }
  message.set_bytes_received(record.bytes_received);
  message.set_bytes_sent(record.bytes_sent);
  message.set_bytes_to_write(record.bytes_to_write);
  *message.mutable_create_time() = TimestampOf(record.create_time);
  if (record.close_time != 0) {
    *message.mutable_close_time() = TimestampOf(record.close_time);
  }
  message.set_close_reason(record.close_reason);
  if (record.failure != nullptr) {
    *message.mutable_failure() = ToProto(*record.failure);
  }
  return message;
}

PackedConnection Pack(const ConnectionRecord& record) {
  static_assert(kHeadBytes + 3 * (2 + sizeof(sockaddr_un::sun_path)) +
                    sizeof(Numbers) + kFailureHeadBytes + kMaxErrorTextBytes <=
                PackedConnection::kMaxBytes);
  const Numbers numbers{record.bytes_received, record.bytes_sent,
                        record.bytes_to_write, record.close_time};
  const bool has_numbers = (numbers.bytes_received | numbers.bytes_sent |
                            numbers.bytes_to_write | numbers.close_time) != 0;
  const int parts = (has_numbers ? kHasNumbers : 0) |
                    (record.failure != nullptr ? kHasFailure : 0);
  const Head head{record.id,
                  record.create_time,
                  static_cast<uint8_t>(record.direction),
                  static_cast<uint8_t>(record.state),
                  static_cast<uint8_t>(record.close_reason),
                  static_cast<uint8_t>(parts)};
  PackedConnection packed;
  Packer packer(packed.buffer_.data());
  packer.Bytes(&head, kHeadBytes);
  if (has_numbers) packer.Value(numbers);
  packer.Address(record.peer);
  packer.Address(record.local);
  packer.Address(record.upstream);
  if (record.failure != nullptr) packer.Failure(*record.failure);
  packed.size_ = packer.size();
  return packed;
}

bool IsPacked(absl::string_view bytes) {
  if (bytes.size() < kHeadBytes) return false;
  const Head head = Unpacker(bytes).ReadHead();
  if (!v1::Direction_IsValid(head.direction) ||
      !v1::ConnectionState_IsValid(head.state) ||
      !v1::CloseReason_IsValid(head.close_reason) ||
      (head.parts & ~(kHasNumbers | kHasFailure)) != 0) {
    return false;
  }
  const size_t numbers = (head.parts & kHasNumbers) != 0 ? sizeof(Numbers) : 0;
  if (bytes.size() < kHeadBytes + numbers) return false;
  bytes.remove_prefix(kHeadBytes + numbers);
  for (int i = 0; i < 3; ++i) {
    const size_t size = AddressBytes(bytes);
    if (size == 0 || size > bytes.size()) return false;
    bytes.remove_prefix(size);
  }
  if ((head.parts & kHasFailure) == 0) return bytes.empty();
  if (bytes.size() < kFailureHeadBytes) return false;
  FailureHead failure{};
  Unpacker(bytes).To(&failure, kFailureHeadBytes);
  return failure.reason <= static_cast<int>(Reason::kOther) &&
         bytes.size() == kFailureHeadBytes + failure.message_bytes;
}

void WriteConnection(absl::string_view packed, absl::string_view listener_name,
                     BackwardWriter& writer) {
  using Message = v1::Connection;
  Unpacker unpacker(packed);
  const Head head = unpacker.ReadHead();
  const Numbers numbers = ReadNumbers(unpacker, head);
  const absl::string_view peer = unpacker.Address();
  const absl::string_view local = unpacker.Address();
  const absl::string_view upstream = unpacker.Address();
  if ((head.parts & kHasFailure) != 0) WriteFailure(unpacker, writer);
  writer.Int(Message::kCloseReasonFieldNumber, head.close_reason);
  if (numbers.close_time != 0) {
    WriteTimestamp(Message::kCloseTimeFieldNumber, numbers.close_time, writer);
  }
  WriteTimestamp(Message::kCreateTimeFieldNumber, head.create_time, writer);
  writer.Int(Message::kBytesToWriteFieldNumber, numbers.bytes_to_write);
  writer.Int(Message::kBytesSentFieldNumber, numbers.bytes_sent);
  writer.Int(Message::kBytesReceivedFieldNumber, numbers.bytes_received);
  WriteAddress(Message::kUpstreamFieldNumber, upstream, writer);
  WriteAddress(Message::kLocalFieldNumber, local, writer);
  WriteAddress(Message::kPeerFieldNumber, peer, writer);
  writer.Int(Message::kStateFieldNumber, head.state);
  writer.Int(Message::kDirectionFieldNumber, head.direction);
  writer.String(Message::kListenerFieldNumber, listener_name);
  WriteName(head.id, writer);
}

int64_t IdOf(absl::string_view packed) {
  return Unpacker(packed).ReadHead().id;
}

int64_t LastTimeOf(absl::string_view packed) {
  Unpacker unpacker(packed);
  const Head head = unpacker.ReadHead();
  const int64_t close_time = ReadNumbers(unpacker, head).close_time;
  return close_time != 0 ? close_time : head.create_time;
}

}  // namespace portreeve::server
