#include "server/events/saved_events.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/api/errors.h"
#include "server/api/utf8.h"
#include "server/events/connection_record.h"
#include "server/events/event_encoding.h"
#include "server/events/lost_events.h"
#include "server/events/sealed_file.h"

namespace portreeve::server {
namespace {

// Version 1 has, as numbers in memory are:
//
//   the number of kinds N; the instance id; N totals;
//   the last revision that is noted as lost; the first that is kept; the last;
//   N revisions of LostEvents::last(); LostEvents::forgotten();
//   how many listeners LostEvents has; of each its name and N revisions;
//   each event from the noted one on: an EventHead, the name of its listener
//   where that is new, and its bytes.
//
// The names of listeners are numbered from 1 on, as they come.
constexpr SealedFileKind kKind = {"PRTVEVTS", 1};

struct EventHead {
  uint32_t size;
  uint32_t name;  // 0: it is about no listener.
  uint8_t kind;
  uint8_t form;
  uint16_t unused;
};
static_assert(sizeof(EventHead) == 12);
static_assert(static_cast<int>(EventForm::kEncoded) == 0 &&
              static_cast<int>(EventForm::kPacked) == 1);

using Kinds = std::array<int64_t, v1::EventKind_ARRAYSIZE>;

// A chunk of a ring has fewer bytes than this.
constexpr size_t kMaxFileBytes = std::numeric_limits<uint32_t>::max();

class Saver {
 public:
  explicit Saver(SealedFileWriter& out) : out_(out) {}

  void Write(const std::string& instance_id, const EventTotals& totals,
             const EventRing& ring) {
    out_.AddValue(uint32_t{v1::EventKind_ARRAYSIZE});
    out_.AddText(instance_id);
    out_.AddValue(totals);
    out_.AddValue(ring.noted());
    out_.AddValue(ring.first());
    out_.AddValue(ring.last());
    WriteLost(ring.lost());
    for (int64_t i = ring.noted() + 1; i <= ring.last(); ++i) {
      WriteEvent(ring.place(i));
    }
  }

 private:
  void WriteLost(const LostEvents& lost) {
    out_.AddValue(lost.last());
    out_.AddValue(lost.forgotten());
    out_.AddValue(static_cast<uint32_t>(lost.listeners().size()));
    for (const LostEvents::Listener& listener : lost.listeners()) {
      out_.AddText(listener.name);
      out_.AddValue(listener.last);
    }
  }

  void WriteEvent(const EventRing::Entry& event) {
    const std::string* const name = &event.listener_name;
    bool is_new = false;
    if (name != last_name_) {
      const auto number = static_cast<uint32_t>(numbers_.size() + 1);
      last_name_ = name;
      last_number_ = 0;
      if (!name->empty()) {
        const auto [found, inserted] = numbers_.emplace(name, number);
        last_number_ = found->second;
        is_new = inserted;
      }
    }
    out_.AddValue(EventHead{static_cast<uint32_t>(event.bytes.size()),
                            last_number_, static_cast<uint8_t>(event.kind),
                            static_cast<uint8_t>(event.form), 0});
    if (is_new) out_.AddText(*name);
    out_.Add(event.bytes);
  }

  SealedFileWriter& out_;
  // Events share their names.
  std::unordered_map<const std::string*, uint32_t> numbers_;
  const std::string* last_name_ = nullptr;
  uint32_t last_number_ = 0;
};

// Each method gives false where the file is none that a Saver has written.
class Loader {
 public:
  explicit Loader(absl::string_view contents) : in_(contents) {}

  bool Read(int64_t capacity, size_t max_bytes, SavedEvents& saved) {
    absl::string_view instance_id;
    if (!in_.ReadValue(num_kinds_) || !ReadUtf8(instance_id) ||
        !ReadKinds(saved.totals)) {
      return false;
    }
    saved.instance_id = std::string(instance_id);
    int64_t noted = 0;
    int64_t first = 0;
    int64_t last = 0;
    if (!in_.ReadValue(noted) || !in_.ReadValue(first) ||
        !in_.ReadValue(last) || noted < 0 || noted >= first ||
        first > std::max<int64_t>(last, 1) || last > kMaxRevision) {
      return false;
    }
    auto lost = ReadLost(noted);
    if (!lost) return false;
    saved.ring = std::make_unique<EventRing>(
        capacity, max_bytes, EventRing::Lost{*std::move(lost), noted, first});
    for (int64_t i = noted + 1; i <= last; ++i) {
      if (!ReadEvent(i >= first, *saved.ring)) return false;
    }
    if (last > 0) saved.ring->EndRestore();
    return in_.is_at_end();
  }

 private:
  static constexpr int64_t kMaxRevision =
      std::numeric_limits<int64_t>::max() / 2;

  // What clients are told must be such.
  bool ReadUtf8(absl::string_view& text) {
    return in_.ReadText(text) && EscapeNonUtf8(text) == text;
  }

  bool ReadKinds(Kinds& kinds) {
    for (uint32_t i = 0; i < num_kinds_; ++i) {
      int64_t value = 0;
      if (!in_.ReadValue(value) || value < 0) return false;
      if (i < kinds.size()) {
        kinds[i] = value;
      } else if (value != 0) {
        return false;
      }
    }
    return true;
  }

  std::optional<LostEvents> ReadLost(int64_t noted) {
    const auto is_noted = [noted](int64_t revision) {
      return revision <= noted;
    };
    Kinds last{};
    int64_t forgotten = 0;
    uint32_t num_listeners = 0;
    if (!ReadKinds(last) || !in_.ReadValue(forgotten) ||
        !in_.ReadValue(num_listeners) || forgotten < 0 ||
        !is_noted(forgotten) ||
        !std::all_of(last.begin(), last.end(), is_noted)) {
      return std::nullopt;
    }
    std::optional<LostEvents> lost(std::in_place, last, forgotten);
    for (uint32_t i = 0; i < num_listeners; ++i) {
      absl::string_view name;
      Kinds of_listener{};
      if (!ReadUtf8(name) || !ReadKinds(of_listener) ||
          !std::all_of(of_listener.begin(), of_listener.end(), is_noted) ||
          !lost->RestoreListener(name, of_listener)) {
        return std::nullopt;
      }
    }
    return lost;
  }

  bool ReadEvent(bool is_kept, EventRing& ring) {
    EventHead head{};
    absl::string_view bytes;
    if (!in_.ReadValue(head) || head.kind >= v1::EventKind_ARRAYSIZE ||
        !ReadName(head.name) || !in_.Read(head.size, bytes)) {
      return false;
    }
    const auto kind = static_cast<v1::EventKind>(head.kind);
    const auto form = static_cast<EventForm>(head.form);
    const bool is_good = !is_kept ? bytes.empty()
                         : form == EventForm::kPacked
                             ? IsOfConnection(kind) && IsPacked(bytes)
                             : IsEncodedEvent(bytes);
    if (!is_good || form > EventForm::kPacked) return false;
    ring.Restore(kind, form, names_[head.name], bytes);
    return true;
  }

  bool ReadName(uint32_t number) {
    if (number < names_.size()) return true;
    absl::string_view name;
    if (number > names_.size() || !ReadUtf8(name)) return false;
    names_.push_back(std::make_shared<const std::string>(name));
    return true;
  }

  static bool IsOfConnection(v1::EventKind kind) {
    return kind == v1::EVENT_KIND_CONNECTION_ACCEPTED ||
           kind == v1::EVENT_KIND_CONNECTION_CLOSED ||
           kind == v1::EVENT_KIND_CONNECTION_DROPPED;
  }

  SealedFileReader in_;
  uint32_t num_kinds_ = 0;
  std::vector<SharedName> names_{nullptr};
};

}  // namespace

absl::StatusOr<Descriptor> SaveEvents(const std::string& instance_id,
                                      const EventTotals& totals,
                                      const EventRing& ring) {
  auto out = SealedFileWriter::Create(kKind);
  if (!out.ok()) return out.status();
  Saver(*out).Write(instance_id, totals, ring);
  return out->Finish();
}

absl::StatusOr<SavedEvents> LoadEvents(const Descriptor& file, int64_t capacity,
                                       size_t max_bytes) {
  const auto opened = SealedFile::Open(file, kKind);
  if (!opened.ok()) return opened.status();
  SavedEvents saved;
  if (opened->contents().size() > kMaxFileBytes ||
      !Loader(opened->contents()).Read(capacity, max_bytes, saved)) {
    return HandoverDamaged("its contents are not what an event log writes");
  }
  return std::move(saved);
}

}  // namespace portreeve::server
