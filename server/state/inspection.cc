#include "server/state/inspection.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/api/errors.h"
#include "server/state/database.h"
#include "server/state/database_reading.h"
#include "server/state/database_schema.h"
#include "server/state/page_reading.h"
#include "server/state/sqlite.h"
#include "server/state/state_errors.h"
#include "server/state/state_image.h"
#include "server/state/state_records.h"

namespace portreeve::server {
namespace {

constexpr char kWrongChecksum[] = "its checksum is wrong";

// Where the tables begin: they are made one after the other, in a file with
// nothing else in it, and stay there.
const std::vector<uint32_t> kRoots = {2, 3, 4};

// Reads as a daemon does.
absl::StatusOr<StateContents> ReadStrictly(const std::string& path,
                                           const std::string& image) {
  auto connection = SqliteConnection::OpenImage(path, image);
  if (!connection.ok()) return connection.status();
  if (auto s = CheckHeader(**connection); !s.ok()) return s;
  if (auto s = (*connection)->Run("PRAGMA cell_size_check=ON"); !s.ok()) {
    return s;
  }
  if (auto s = CheckSchema(**connection); !s.ok()) return s;
  return ReadAll(**connection);
}

std::string NameOf(const ListenerRow& row) {
  return absl::StrCat("listeners/", row.id);
}
std::string NameOf(const RequestRow& row) {
  return absl::StrCat("requests/", row.seq);
}

// Takes out what has its checksum, but is no record.
template <typename Row>
void TakeOutUnparsed(std::vector<Row>& rows, std::vector<Damage>& damages) {
  std::erase_if(rows, [&](const Row& row) {
    const auto record = ParseRow(row);
    if (record.ok()) return false;
    damages.push_back({NameOf(row), "it is no record of portreeved"});
    return true;
  });
}

// Gathers the rows of a damaged file.
class Salvage {
 public:
  Inspection Run(const std::string& image) {
    const std::vector<uint32_t> pages =
        ReadPages(image, kRoots, [this](PageRow row) { Take(std::move(row)); });
    for (const uint32_t page : pages) {
      Note(absl::StrCat("page ", page), "a part of it cannot be read");
    }
    StateRows& rows = found_.contents.rows;
    for (auto& [id, record] : listeners_) {
      if (record) rows.listeners.push_back({id, *std::move(record)});
    }
    for (auto& [seq, row] : requests_) {
      if (row) rows.requests.push_back(*std::move(row));
    }
    TakeOutUnparsed(rows.listeners, found_.damages);
    TakeOutUnparsed(rows.requests, found_.damages);
    for (const char* key : {kMetaSchema, kMetaDaemonId, kMetaWrittenBy,
                            kMetaClean, kMetaListeners, kMetaRequests}) {
      if (!MetaOf(key)) Note(absl::StrCat("meta/", key), "it is missing");
    }
    CheckCount(kMetaListeners, rows.listeners.size());
    CheckCount(kMetaRequests, rows.requests.size());
    found_.contents.daemon_id = MetaOf(kMetaDaemonId).value_or("");
    found_.contents.written_by = MetaOf(kMetaWrittenBy).value_or("");
    return std::move(found_);
  }

  bool has_found_any() const {
    return !meta_.empty() || !listeners_.empty() || !requests_.empty();
  }
  std::optional<std::string> MetaOf(const char* key) const {
    const auto it = meta_.find(key);
    return it == meta_.end() ? std::nullopt : it->second;
  }

 private:
  using Type = PageValue::Type;

  void Take(PageRow row) {
    const auto& columns = row.columns;
    if (Has(row, {Type::kText, Type::kText, Type::kInteger})) {
      const std::string& key = columns[0].bytes;
      const bool checks = columns[2].integer == MetaCrc(key, columns[1].bytes);
      Add(meta_, key, columns[1].bytes, checks, absl::StrCat("meta/", key));
    } else if (Has(row,
                   {Type::kNull, Type::kText, Type::kInteger, Type::kBlob})) {
      const std::string& id = columns[1].bytes;
      const std::string& record = columns[3].bytes;
      const bool checks =
          columns[2].integer == ListenerCrc(row.rowid, id, record);
      Add(listeners_, id, record, checks, absl::StrCat("listeners/", id));
    } else if (Has(row,
                   {Type::kNull, Type::kText, Type::kBlob, Type::kInteger})) {
      RequestRow request{row.rowid, columns[1].bytes, columns[2].bytes};
      const bool checks =
          columns[3].integer ==
          RequestCrc(row.rowid, request.request_id, request.record);
      Add(requests_, row.rowid, request, checks, NameOf(request));
    } else {
      Note(absl::StrCat("page ", row.page), "a record of it is none");
    }
  }

  static bool Has(const PageRow& row, std::initializer_list<Type> types) {
    return std::equal(
        row.columns.begin(), row.columns.end(), types.begin(), types.end(),
        [](const PageValue& value, Type type) { return value.type == type; });
  }

  // Of two with the same key, one is wrong, and nothing tells which.
  template <typename Key, typename Value>
  void Add(std::map<Key, std::optional<Value>>& map, const Key& key,
           const Value& value, bool checks, const std::string& name) {
    if (!checks) {
      Note(name, kWrongChecksum);
      return;
    }
    const auto [it, is_new] = map.emplace(key, value);
    if (is_new || it->second == value) return;
    it->second.reset();
    Note(name, "it is there twice");
  }

  // Of one place the first is told.
  void Note(const std::string& where, const char* what) {
    if (named_.insert(where).second) found_.damages.push_back({where, what});
  }

  void CheckCount(const char* key, size_t found) {
    const auto count = MetaOf(key);
    if (!count || *count == std::to_string(found)) return;
    Note(absl::StrCat("meta/", key), "more or fewer than it says check");
  }

  std::map<std::string, std::optional<std::string>> meta_;
  std::map<std::string, std::optional<std::string>> listeners_;
  std::map<int64_t, std::optional<RequestRow>> requests_;
  std::set<std::string> named_;
  Inspection found_;
};

// Adds what has kept a daemon from reading it, unless it is told already.
void AddComplaint(const std::string& path, const absl::Status& complaint,
                  std::vector<Damage>& damages) {
  absl::string_view text = complaint.message();
  absl::ConsumePrefix(&text, absl::StrCat(path, ": "));
  const bool is_known =
      std::any_of(damages.begin(), damages.end(), [&](const Damage& damage) {
        return absl::StartsWith(text, damage.where);
      });
  if (is_known) return;
  damages.insert(damages.begin(), {Database::kFileName, std::string(text)});
}

}  // namespace

absl::StatusOr<Inspection> Inspect(const std::string& path,
                                   const std::string& image) {
  if (image.empty()) {
    return StateDamaged(absl::StrCat(path, ": it is empty"));
  }
  auto contents = ReadStrictly(path, image);
  if (contents.ok()) {
    Inspection inspection{*std::move(contents), {}};
    TakeOutUnparsed(inspection.contents.rows.listeners, inspection.damages);
    TakeOutUnparsed(inspection.contents.rows.requests, inspection.damages);
    return inspection;
  }
  const absl::Status& complaint = contents.status();
  Salvage salvage;
  Inspection inspection = salvage.Run(image);
  if (!salvage.has_found_any()) return complaint;
  // A file says its version twice, here under a checksum.
  const auto schema = salvage.MetaOf(kMetaSchema);
  if (schema ? *schema != std::to_string(Database::kSchemaVersion)
             : ReasonOf(complaint) == "STATE_NEWER") {
    if (ReasonOf(complaint) == "STATE_NEWER") return complaint;
    return StateNewer(absl::StrCat(
        path, ": written by ",
        salvage.MetaOf(kMetaWrittenBy).value_or("an unknown version"),
        ", whose schema is ", schema.value_or("unknown"), " and not ",
        Database::kSchemaVersion));
  }
  AddComplaint(path, complaint, inspection.damages);
  return inspection;
}

absl::Status WithAdvice(const absl::Status& status,
                        const std::string& directory) {
  const std::string reason = ReasonOf(status);
  if (reason != "STATE_DAMAGED" && reason != "STATE_FOREIGN" &&
      reason != "STATE_NEWER") {
    return status;
  }
  const std::string path = absl::StrCat(directory, "/", Database::kFileName);
  const auto image = ReadImage(path);
  const auto found = image.ok() ? Inspect(path, *image) : image.status();
  if (!found.ok()) {
    if (ReasonOf(found.status()) != "STATE_DAMAGED") return status;
    return StateDamaged(
        absl::StrCat(status.message(),
                     "; nothing in it can be read: put a backup in its place"));
  }
  const StateRows& rows = found->contents.rows;
  const size_t count = rows.listeners.size() + rows.requests.size();
  return StateDamaged(absl::StrCat(
      status.message(), "; portreeve state repair ", directory, " keeps the ",
      count, count == 1 ? " record that checks" : " records that check"));
}

}  // namespace portreeve::server
