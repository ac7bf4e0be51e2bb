// Which names a server may be called by.
#ifndef PORTREEVE_SERVER_HTTP_HOST_NAMES_H_
#define PORTREEVE_SERVER_HTTP_HOST_NAMES_H_

#include <string>
#include <string_view>
#include <vector>

namespace portreeve::server {

// Whether `host`, a value of HTTP's Host with or without a port, is an IP
// literal, `localhost`, or one of `names`, in which "*.example.org" stands for
// one more label, as it does in certificates.  Case does not matter.
//
// A page of a stranger's can have its own name lead to this machine (DNS
// rebinding) and so read what is here as if it were its own: its name is none
// of these.
bool IsOwnHost(std::string_view host, const std::vector<std::string>& names);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HTTP_HOST_NAMES_H_
