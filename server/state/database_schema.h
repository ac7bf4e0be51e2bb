// The tables of the database, and the checksums of their rows.
#ifndef PORTREEVE_SERVER_STATE_DATABASE_SCHEMA_H_
#define PORTREEVE_SERVER_STATE_DATABASE_SCHEMA_H_

#include <array>
#include <cstdint>
#include <string_view>

namespace portreeve::server {

struct Table {
  std::string_view name;
  const char* sql;
};

// In the order in which they are made.
inline constexpr std::array<Table, 3> kTables = {{
    {"meta",
     "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL, "
     "crc INTEGER NOT NULL) WITHOUT ROWID"},
    // In the order in which they came, so that those that are closed and
    // forgotten together are together.
    {"listeners",
     "CREATE TABLE listeners(seq INTEGER PRIMARY KEY, id TEXT NOT NULL, "
     "crc INTEGER NOT NULL, record BLOB NOT NULL)"},
    {"requests",
     "CREATE TABLE requests(seq INTEGER PRIMARY KEY, "
     "request_id TEXT NOT NULL, record BLOB NOT NULL, crc INTEGER NOT NULL)"},
}};

// The keys of `meta`; those of the tables' names have the numbers of their
// rows.
inline constexpr char kMetaSchema[] = "schema";
inline constexpr char kMetaDaemonId[] = "daemon_id";
inline constexpr char kMetaWrittenBy[] = "written_by";
inline constexpr char kMetaClean[] = "clean";
inline constexpr char kMetaListeners[] = "listeners";
inline constexpr char kMetaRequests[] = "requests";

// Give what the column `crc` of a row has to be.
uint32_t MetaCrc(std::string_view key, std::string_view value);
uint32_t ListenerCrc(int64_t seq, std::string_view id, std::string_view record);
uint32_t RequestCrc(int64_t seq, std::string_view request_id,
                    std::string_view record);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_DATABASE_SCHEMA_H_
