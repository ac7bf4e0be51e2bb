// CaresResolver: the Resolver that asks name servers, by c-ares.
#ifndef PORTREEVE_LIB_CARES_RESOLVER_H_
#define PORTREEVE_LIB_CARES_RESOLVER_H_

#include <string>
#include <utility>
#include <vector>

#include "lib/resolver.h"

namespace portreeve {

// Each lookup has a c-ares channel of its own, with its own sockets, which the
// loop watches: there is no thread, and what happens to one lookup does not
// touch another.  How often and how long servers are asked is c-ares' own
// choice, or that of /etc/resolv.conf.  /etc/hosts comes before the servers;
// "localhost" and "*.localhost" are 127.0.0.1 and ::1 without either.
//
// Threads: loop thread only.
class CaresResolver : public Resolver {
 public:
  struct Options {
    // "ADDRESS:PORT,...".  Empty: those of /etc/resolv.conf.
    std::string servers;
  };

  CaresResolver() {}
  explicit CaresResolver(Options options) : options_(std::move(options)) {}

  Task<std::vector<asio::ip::address>> Lookup(std::string host,
                                              Family family) override;

 private:
  const Options options_;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_CARES_RESOLVER_H_
