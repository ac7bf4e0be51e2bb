// CaresResolver: the Resolver that asks name servers, by c-ares.
#ifndef PORTREEVE_LIB_CONNECT_CARES_RESOLVER_H_
#define PORTREEVE_LIB_CONNECT_CARES_RESOLVER_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/connect/resolver.h"

namespace portreeve {

class CaresLookup;

// Each name has a c-ares channel of its own while it is looked up, with its own
// sockets, which the loop watches: there is no thread, and what happens to one
// name does not touch another.  Lookups of the same name that begin within a
// second share it, and within a tenth of a second the question, too; an answer
// is that of all who wait for it there.  At most two channels of a name live at
// a time, so that neither sockets nor questions grow with the number of those
// who ask; sockets beside the first one of a channel are counted with
// DescriptorPart::OfLookups().  How often and how long servers are asked is
// c-ares' own choice, or that of /etc/resolv.conf.
// /etc/hosts comes before the servers; "localhost" and
// "*.localhost" are 127.0.0.1 and ::1 without either.
//
// Threads: loop thread only.
class CaresResolver : public Resolver {
 public:
  struct Options {
    // The name servers, as "ADDRESS:PORT,ADDRESS:PORT".  Empty: those of
    // /etc/resolv.conf.
    std::string servers;
  };

  CaresResolver() {}
  explicit CaresResolver(Options options) : options_(std::move(options)) {}

  Task<std::vector<asio::ip::address>> Lookup(std::string host,
                                              Family family) override;

 private:
  // The lookups of one name that somebody waits for.
  struct Lookups {
    std::weak_ptr<CaresLookup> newest, older;

    bool expired() const { return newest.expired() && older.expired(); }
  };
  using Running = std::map<std::string, Lookups>;
  class Share;

  const Options options_;
  Running running_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_CONNECT_CARES_RESOLVER_H_
