// A source with some of everything, and a sink that knows what is in it.
#ifndef PORTREEVE_TESTS_SERVER_HANDOVER_HANDOVER_FAKES_H_
#define PORTREEVE_TESTS_SERVER_HANDOVER_HANDOVER_FAKES_H_

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "lib/base/descriptor.h"
#include "server/handover/handover_receiver.h"
#include "server/handover/handover_sender.h"
#include "tests/server/handover/handover_pair.h"

namespace portreeve::server {

inline uint64_t InodeOf(int fd) {
  struct stat file;
  return fstat(fd, &file) == 0 ? file.st_ino : 0;
}

// Has `size` listeners, twice as many connections with two descriptors each,
// and so on.  Each record says which files its descriptors are.
class FakeSource : public HandoverSource {
 public:
  explicit FakeSource(int size) : size_(size) {}

  // Called in each method but the last two; its error, or what it throws, is
  // the method's.
  std::function<absl::Status()> on_call = [] { return absl::OkStatus(); };
  std::function<void()> on_thaw = [] {};
  int64_t num_descriptors = 10;
  bool has_state = true;

  int num_frozen = 0;
  int num_thawed = 0;
  int num_handed_over = 0;

  int64_t CountDescriptors() override {
    if (!on_call().ok()) throw std::bad_alloc();
    return num_descriptors;
  }
  absl::Status Freeze(TimePoint) override {
    ++num_frozen;
    return on_call();
  }
  absl::StatusOr<internal::v1::HandoverCounters> Counters() override {
    if (auto s = on_call(); !s.ok()) return s;
    return CountersRecord();
  }
  absl::StatusOr<std::optional<SourceRecord<internal::v1::HandoverListener>>>
  NextListener() override {
    return Next(next_listener_, size_, &FakeSource::Listener);
  }
  absl::StatusOr<
      std::optional<SourceRecord<internal::v1::HandoverControlSocket>>>
  NextControlSocket() override {
    return Next(next_control_, 2, &FakeSource::ControlSocket);
  }
  absl::StatusOr<std::optional<SourceRecord<internal::v1::HandoverRequest>>>
  NextRequest() override {
    return Next(next_request_, size_, &FakeSource::Request);
  }
  absl::StatusOr<std::optional<SourceRecord<internal::v1::HandoverConnection>>>
  NextConnection() override {
    return Next(next_connection_, 2 * size_, &FakeSource::Connection);
  }
  absl::StatusOr<Events> TakeEvents() override {
    if (auto s = on_call(); !s.ok()) return s;
    Events events;
    events.record.set_last_revision(size_);
    events.memfd = MemoryFile(EventBytes());
    return events;
  }
  absl::StatusOr<std::optional<SourceRecord<internal::v1::HandoverStore>>>
  Store() override {
    if (auto s = on_call(); !s.ok()) return s;
    if (!has_state) return std::nullopt;
    SourceRecord<internal::v1::HandoverStore> record;
    record.record.mutable_directory()->set_inode(InodeOf(files_[0].get()));
    record.descriptors = {files_[0].get()};
    return record;
  }
  void Thaw(HandoverStep, const std::string&) noexcept override {
    ++num_thawed;
    on_thaw();
  }
  void HandedOver() noexcept override { ++num_handed_over; }

  // What is in it.
  internal::v1::HandoverCounters CountersRecord() const {
    internal::v1::HandoverCounters record;
    record.set_last_connection_id(size_);
    return record;
  }
  SourceRecord<internal::v1::HandoverListener> Listener(int i) const {
    SourceRecord<internal::v1::HandoverListener> record;
    record.record.set_id(absl::StrCat("listener", i));
    record.record.set_listening_descriptor(0);
    const int file = files_[static_cast<size_t>(i) % files_.size()].get();
    record.record.mutable_unix_file()->set_inode(InodeOf(file));
    record.descriptors = {file};
    return record;
  }
  SourceRecord<internal::v1::HandoverControlSocket> ControlSocket(int i) const {
    SourceRecord<internal::v1::HandoverControlSocket> record;
    record.record.set_flag(absl::StrCat("unix:", i));
    record.record.mutable_unix_file()->set_inode(InodeOf(files_[1].get()));
    record.descriptors = {files_[1].get()};
    return record;
  }
  SourceRecord<internal::v1::HandoverRequest> Request(int i) const {
    SourceRecord<internal::v1::HandoverRequest> record;
    record.record.set_number(i);
    record.record.mutable_record()->set_caller(std::string(100, 'x'));
    return record;
  }
  SourceRecord<internal::v1::HandoverConnection> Connection(int i) const {
    SourceRecord<internal::v1::HandoverConnection> record;
    record.record.mutable_connection()->set_name(
        absl::StrCat("connections/", i));
    record.record.mutable_connection()->set_bytes_sent(
        static_cast<int64_t>(InodeOf(files_[0].get())));
    record.record.mutable_held_by_predecessor();
    record.descriptors = {files_[0].get(), files_[1].get()};
    return record;
  }
  std::string EventBytes() const { return std::string(1000, 'e'); }
  int size() const { return size_; }

 private:
  template <typename Record>
  absl::StatusOr<std::optional<SourceRecord<Record>>> Next(
      int& next, int size,
      SourceRecord<Record> (FakeSource::*make)(int) const) {
    if (auto s = on_call(); !s.ok()) return s;
    if (next == size) return std::nullopt;
    return (this->*make)(next++);
  }

  const int size_;
  const std::vector<Descriptor> files_ = [] {
    std::vector<Descriptor> files;
    for (int i = 0; i < 3; ++i) files.push_back(MemoryFile("x"));
    return files;
  }();
  int next_listener_ = 0;
  int next_control_ = 0;
  int next_request_ = 0;
  int next_connection_ = 0;
};

// Takes what `source` has, and nothing else.
class FakeSink : public HandoverSink {
 public:
  explicit FakeSink(const FakeSource& source) : source_(source) {}

  // As FakeSource has it.
  std::function<absl::Status()> on_call = [] { return absl::OkStatus(); };
  // Called in BeginToServe().
  std::function<void()> on_serve = [] {};

  absl::Status TakeAccepted(const internal::v1::HandoverAccepted&) override {
    return on_call();
  }
  absl::Status TakeCounters(
      const internal::v1::HandoverCounters& record) override {
    Expect(record, source_.CountersRecord());
    return on_call();
  }
  absl::Status TakeListener(internal::v1::HandoverListener record,
                            std::vector<Descriptor> own) override {
    ExpectNext(record, own, &FakeSource::Listener, num_listeners_);
    Keep(own, record.unix_file().inode());
    return on_call();
  }
  absl::Status TakeControlSocket(internal::v1::HandoverControlSocket record,
                                 std::vector<Descriptor> own) override {
    ExpectNext(record, own, &FakeSource::ControlSocket, num_control_);
    Keep(own, record.unix_file().inode());
    return on_call();
  }
  absl::Status TakeRequest(internal::v1::HandoverRequest record) override {
    ExpectNext(record, {}, &FakeSource::Request, num_requests_);
    return on_call();
  }
  absl::Status TakeConnection(internal::v1::HandoverConnection record,
                              std::vector<Descriptor> own) override {
    ExpectNext(record, own, &FakeSource::Connection, num_connections_);
    Keep(own, static_cast<uint64_t>(record.connection().bytes_sent()));
    return on_call();
  }
  absl::Status TakeEvents(internal::v1::HandoverEvents record,
                          Descriptor memfd) override {
    std::string bytes(static_cast<size_t>(record.bytes()), '\0');
    Check(pread(memfd.get(), bytes.data(), bytes.size(), 0) ==
          static_cast<ssize_t>(bytes.size()));
    Check(bytes == source_.EventBytes());
    kept_.push_back(std::move(memfd));
    return on_call();
  }
  absl::Status TakeStore(internal::v1::HandoverStore record,
                         Descriptor lock) override {
    Check(record.directory().inode() == InodeOf(lock.get()));
    kept_.push_back(std::move(lock));
    return on_call();
  }
  absl::Status Check() override {
    Check(num_listeners_ == source_.size());
    Check(num_control_ == 2);
    Check(num_requests_ == source_.size());
    Check(num_connections_ == 2 * source_.size());
    return on_call();
  }
  void BeginToServe() noexcept override { on_serve(); }

  // Whether all was as in the source.
  bool is_right() const { return right_; }

 private:
  void Check(bool condition) { right_ &= condition; }

  template <typename Record>
  void Expect(const Record& record, const Record& expected) {
    Check(record.SerializeAsString() == expected.SerializeAsString());
  }
  template <typename Record>
  void ExpectNext(const Record& record, const std::vector<Descriptor>& own,
                  SourceRecord<Record> (FakeSource::*make)(int) const,
                  int& next) {
    auto expected = (source_.*make)(next++);
    expected.record.set_num_descriptors(
        static_cast<int32_t>(expected.descriptors.size()));
    Check(own.size() == expected.descriptors.size());
    Expect(record, expected.record);
  }
  // The first of them is that file.
  void Keep(std::vector<Descriptor>& own, uint64_t inode) {
    Check(InodeOf(own[0].get()) == inode);
    for (Descriptor& one : own) kept_.push_back(std::move(one));
  }

  const FakeSource& source_;
  std::vector<Descriptor> kept_;
  int num_listeners_ = 0;
  int num_control_ = 0;
  int num_requests_ = 0;
  int num_connections_ = 0;
  bool right_ = true;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_TESTS_SERVER_HANDOVER_HANDOVER_FAKES_H_
