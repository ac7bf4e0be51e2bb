#include "server/state/unknown_fields.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/unknown_field_set.h>

#include <vector>

namespace portreeve::server {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::UnknownFieldSet;

void CarryUnknownFields(const Message& from, Message& to) {
  const Reflection& source = *from.GetReflection();
  const Reflection& target = *to.GetReflection();
  UnknownFieldSet& unknown = *target.MutableUnknownFields(&to);
  if (unknown.empty()) unknown.MergeFrom(source.GetUnknownFields(from));
  std::vector<const FieldDescriptor*> fields;
  source.ListFields(from, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->is_repeated() ||
        field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE ||
        !target.HasField(to, field)) {
      continue;
    }
    CarryUnknownFields(source.GetMessage(from, field),
                       *target.MutableMessage(&to, field));
  }
}

}  // namespace portreeve::server
