#include "tests/texts/text_rows.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace portreeve {
namespace {

using google::protobuf::ListValue;
using google::protobuf::Struct;

ListValue Read(const std::string& file) {
  std::ifstream stream("tests/texts/" + file);
  std::stringstream text;
  text << stream.rdbuf();
  ListValue rows;
  const auto status =
      google::protobuf::util::JsonStringToMessage(text.str(), &rows);
  EXPECT_TRUE(status.ok()) << file << ": " << status.ToString();
  EXPECT_GT(rows.values_size(), 10) << file;
  return rows;
}

std::optional<std::string> Field(const Struct& row, const std::string& name) {
  const auto& value = row.fields().at(name);
  if (value.has_null_value()) return std::nullopt;
  return value.string_value();
}

}  // namespace

std::vector<AddressRow> ReadAddressRows() {
  std::vector<AddressRow> rows;
  const ListValue table = Read("addresses.json");
  for (const auto& value : table.values()) {
    const Struct& row = value.struct_value();
    // Left out where it is the same.
    const bool differ = row.fields().contains("connects");
    rows.push_back({*Field(row, "text"), Field(row, "listens"),
                    Field(row, differ ? "connects" : "listens")});
  }
  return rows;
}

std::vector<NameRow> ReadNameRows() {
  std::vector<NameRow> rows;
  const ListValue table = Read("names.json");
  for (const auto& value : table.values()) {
    const Struct& row = value.struct_value();
    rows.push_back({*Field(row, "text"), Field(row, "listener"),
                    Field(row, "connection")});
  }
  return rows;
}

}  // namespace portreeve
