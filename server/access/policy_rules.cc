#include "server/access/policy_rules.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/base/check.h"
#include "server/access/system_accounts.h"

namespace portreeve::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::TextFormat;
using Location = TextFormat::ParseLocation;  // It counts from 0; -1: none.

constexpr const char* kDeniedByDefault[] = {"169.254.0.0/16", "fe80::/10",
                                            "fd00:ec2::254/128"};
// No certificate is known by a name that begins so.
constexpr char kUnixPrefix[] = "unix:";
constexpr int kNoIndex = -1;  // For a field that is not repeated.

absl::Status ErrorAt(const std::string& file_name, const Location& where,
                     absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      file_name, ":", where.line + 1, ":", where.column + 1, ": ", what));
}

class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  explicit FirstError(const std::string& file_name) : file_name_(file_name) {}

  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    Location where;
    where.line = line < 0 ? 0 : line;
    where.column = column;
    if (status_.ok()) status_ = ErrorAt(file_name_, where, message);
  }

  const absl::Status& status() const { return status_; }

 private:
  const std::string& file_name_;
  absl::Status status_;
};

// A message of the policy, and where it stands in the file.
class Node {
 public:
  Node(const std::string& file_name, const Message& message,
       TextFormat::ParseInfoTree& tree)
      : file_name_(file_name),
        message_(message),
        tree_(tree),
        start_(Start()) {}

  // Gives the message in a field that is set.
  Node Child(const char* name, const Message& message,
             int index = kNoIndex) const {
    auto* tree = tree_.GetTreeForNested(FieldOf(name), index);
    PORTREEVE_CHECK(tree != nullptr);
    Node child(file_name_, message, *tree);
    child.path_ = absl::StrCat(PathOf(name, index), ".");
    child.start_ = Where(name, index);
    return child;
  }

  // Whether the file has the field, even if with its default.
  bool Has(const char* name) const {
    return tree_.GetLocation(FieldOf(name), kNoIndex).line >= 0;
  }

  absl::Status Error(const char* name, int index,
                     absl::string_view what) const {
    return ErrorAt(file_name_, Where(name, index),
                   absl::StrCat(PathOf(name, index), ": ", what));
  }
  absl::Status Error(const char* name, absl::string_view what) const {
    return Error(name, kNoIndex, what);
  }

 private:
  static Location Start() {
    Location start;
    start.line = start.column = 0;
    return start;
  }

  const FieldDescriptor* FieldOf(const char* name) const {
    return message_.GetDescriptor()->FindFieldByName(name);
  }

  std::string PathOf(const char* name, int index) const {
    return index == kNoIndex ? absl::StrCat(path_, name)
                             : absl::StrCat(path_, name, "[", index, "]");
  }

  // Gives where the field stands; for what is not in the file, where its
  // message begins.
  Location Where(const char* name, int index) const {
    const FieldDescriptor* field = FieldOf(name);
    // The parser knows one place for all of "[a, b]"; where there is such a
    // list, the places of the others cannot be told apart.
    int wanted = index;
    if (field->is_repeated()) {
      const int size = message_.GetReflection()->FieldSize(message_, field);
      const bool each = tree_.GetLocation(field, size - 1).line >= 0;
      const bool only_one = tree_.GetLocation(field, 1).line < 0;
      if (!each && !only_one) return start_;
      if (!each) wanted = 0;
    }
    const Location where = tree_.GetLocation(field, wanted);
    return where.line < 0 ? start_ : where;
  }

  const std::string& file_name_;
  const Message& message_;
  TextFormat::ParseInfoTree& tree_;
  std::string path_;  // It ends with a dot; empty for the whole policy.
  Location start_;
};

// Reads the cidrs of Listen, of Allow, or of Deny.
template <typename HasCidrs>
absl::Status ReadNetworks(const HasCidrs& message, const Node& node,
                          NetworkSet& networks) {
  for (int i = 0; i < message.cidrs_size(); ++i) {
    if (auto s = networks.Add(message.cidrs(i)); !s.ok()) {
      return node.Error("cidrs", i, s.message());
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPort(const Node& node, const char* name, int port) {
  if (!node.Has(name)) return node.Error(name, "is required");
  if (port >= 0 && port <= 65535) return absl::OkStatus();
  return node.Error(name, absl::StrCat("must be 0-65535, but is ", port));
}

template <typename HasPorts>
absl::Status ReadPorts(const HasPorts& message, const Node& node,
                       std::vector<PortRange>& ranges) {
  for (int i = 0; i < message.ports_size(); ++i) {
    const v1::Policy::Ports& ports = message.ports(i);
    const Node range = node.Child("ports", ports, i);
    if (auto s = CheckPort(range, "first", ports.first()); !s.ok()) return s;
    if (auto s = CheckPort(range, "last", ports.last()); !s.ok()) return s;
    if (ports.last() < ports.first()) {
      return range.Error("last", absl::StrCat("must be ", ports.first(),
                                              "-65535, but is ", ports.last()));
    }
    ranges.push_back({ports.first(), ports.last()});
  }
  return absl::OkStatus();
}

// Reads the directories of Policy and of Allow.
template <typename HasDirectories>
absl::Status ReadDirectories(const HasDirectories& message, const Node& node,
                             UnixDirectories& directories) {
  for (int i = 0; i < message.unix_directories_size(); ++i) {
    const std::string& directory = message.unix_directories(i);
    if (!absl::StartsWith(directory, "/")) {
      return node.Error("unix_directories", i,
                        absl::StrCat("\"", absl::Utf8SafeCHexEscape(directory),
                                     "\" is not an absolute path"));
    }
    if (absl::StrContains(directory, absl::string_view("\0", 1))) {
      return node.Error("unix_directories", i, "must not contain a NUL byte");
    }
    directories.Add(directory);
  }
  return absl::OkStatus();
}

absl::Status ReadUnixDirectories(const v1::Policy& policy, const Node& root,
                                 PolicyRules& rules) {
  return ReadDirectories(policy, root, rules.unix_directories);
}

absl::Status ReadListen(const v1::Policy& policy, const Node& root,
                        PolicyRules& rules) {
  if (!policy.has_listen()) return absl::OkStatus();
  const Node node = root.Child("listen", policy.listen());
  if (auto s = ReadNetworks(policy.listen(), node, rules.listen_networks);
      !s.ok()) {
    return s;
  }
  return ReadPorts(policy.listen(), node, rules.listen_ports);
}

absl::Status ReadDial(const v1::Policy& policy, const Node& root,
                      PolicyRules& rules) {
  const v1::Policy::Dial& dial = policy.dial();
  if (dial.has_allow()) {
    const Node node = root.Child("dial", dial).Child("allow", dial.allow());
    if (auto s = ReadNetworks(dial.allow(), node, rules.dial_networks);
        !s.ok()) {
      return s;
    }
    if (auto s = ReadPorts(dial.allow(), node, rules.dial_ports); !s.ok()) {
      return s;
    }
    if (auto s =
            ReadDirectories(dial.allow(), node, rules.dial_unix_directories);
        !s.ok()) {
      return s;
    }
    rules.has_dial_allow = true;
  }
  if (dial.has_deny()) {
    const Node node = root.Child("dial", dial).Child("deny", dial.deny());
    return ReadNetworks(dial.deny(), node, rules.dial_denied);
  }
  for (const char* cidr : kDeniedByDefault) {
    PORTREEVE_CHECK(rules.dial_denied.Add(cidr).ok());
  }
  return absl::OkStatus();
}

// Reads what follows "unix:" in the name of an identity.
absl::Status ReadUnixIdentity(const std::string& account, v1::Role role,
                              UnixRoles& roles) {
  const bool is_group = absl::StartsWith(account, "@");
  const std::string text = account.substr(is_group ? 1 : 0);
  if (text.empty()) {
    return absl::InvalidArgumentError(
        "expected unix:USER or unix:@GROUP, by name or number");
  }
  const auto number = is_group ? FindGroup(text) : FindUser(text);
  if (!number.ok()) return number.status();
  if (is_group) {
    roles.AddGroup(*number, role);
  } else {
    roles.AddUser(*number, role);
  }
  return absl::OkStatus();
}

absl::Status ReadIdentities(const v1::Policy& policy, const Node& root,
                            PolicyRules& rules) {
  std::set<std::string> names;
  for (int i = 0; i < policy.identities_size(); ++i) {
    const v1::Policy::Identity& identity = policy.identities(i);
    const Node node = root.Child("identities", identity, i);
    if (identity.name().empty()) return node.Error("name", "is required");
    if (identity.role() == v1::ROLE_UNSPECIFIED) {
      return node.Error("role", "is required");
    }
    if (!v1::Role_IsValid(identity.role())) {
      return node.Error("role", absl::StrCat(identity.role(), " is no role"));
    }
    const std::string quoted =
        absl::StrCat("\"", absl::Utf8SafeCHexEscape(identity.name()), "\"");
    if (!names.insert(identity.name()).second) {
      return node.Error("name", quoted + " is there twice");
    }
    absl::string_view account = identity.name();
    if (!absl::ConsumePrefix(&account, kUnixPrefix)) {
      rules.identities.emplace(identity.name(), identity.role());
    } else if (auto s = ReadUnixIdentity(std::string(account), identity.role(),
                                         rules.unix_roles);
               !s.ok()) {
      return node.Error("name", absl::StrCat(quoted, ": ", s.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PolicyRules> ReadPolicyRules(const std::string& text,
                                            const std::string& file_name) {
  v1::Policy policy;
  FirstError error(file_name);
  TextFormat::ParseInfoTree tree;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.WriteLocationsTo(&tree);
  if (!parser.ParseFromString(text, &policy)) return error.status();
  const Node root(file_name, policy, tree);
  PolicyRules rules;
  for (auto* read :
       {&ReadListen, &ReadUnixDirectories, &ReadDial, &ReadIdentities}) {
    if (auto s = read(policy, root, rules); !s.ok()) return s;
  }
  return rules;
}

}  // namespace portreeve::server
