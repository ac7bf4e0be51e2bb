// GivenSockets: listening sockets that the daemon was started with, for its
// listeners to take.
#ifndef PORTREEVE_SERVER_REGISTRY_GIVEN_SOCKETS_H_
#define PORTREEVE_SERVER_REGISTRY_GIVEN_SOCKETS_H_

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/descriptor.h"
#include "lib/net/address.h"
#include "lib/net/where.h"
#include "server/api/checked_spec.h"

namespace portreeve::server {

class GivenSockets {
 public:
  struct Entry {
    std::string id;      // That of the listener that it is for.
    AnyAddress address;  // As the kernel has it.
    Descriptor socket;
  };

  void Add(Entry entry) { entries_.push_back(std::move(entry)); }

  // Gives the id of a socket that listens at `where`, the first for which
  // `wanted` holds; "" if there is none.
  std::string IdAt(
      const AnyWhereToListen& where,
      const std::function<bool(const std::string& id)>& wanted) const;

  // Takes a socket for the listener `id` that listens at `where`: not merely at
  // a part of that, or at more.
  std::optional<Descriptor> Take(const std::string& id,
                                 const AnyWhereToListen& where);

  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_GIVEN_SOCKETS_H_
