#include "server/api/json_line.h"

#include <nlohmann/json.hpp>

#include "server/api/utf8.h"
#include "server/api/visible_text.h"

namespace portreeve::server {

std::string JsonLine(const std::vector<JsonField>& fields) {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  for (const JsonField& field : fields) {
    auto& value = object[std::string(field.key)];
    if (const auto* number = std::get_if<int64_t>(&field.value)) {
      value = *number;
    } else {
      value = EscapeNonUtf8(std::get<absl::string_view>(field.value));
    }
  }
  // What is left to escape stands in texts only, where JSON takes the escape.
  return EscapeInvisible(object.dump());
}

}  // namespace portreeve::server
