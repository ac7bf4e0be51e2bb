// LivePolicy: what clients may listen on and connect to now.
#ifndef PORTREEVE_SERVER_ACCESS_LIVE_POLICY_H_
#define PORTREEVE_SERVER_ACCESS_LIVE_POLICY_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "lib/net/address.h"
#include "lib/net/own_addresses.h"
#include "server/access/policy.h"
#include "server/api/convert.h"

namespace portreeve::server {

// The policy, which can be replaced while the daemon runs, and the daemon's own
// addresses, which hold whatever it says.  Each question is answered by one
// policy as a whole.
//
// Threads: any.  Copies share what they hold.
class LivePolicy {
 public:
  LivePolicy() : LivePolicy(Policy()) {}
  // A Policy stands for a LivePolicy that is never replaced.
  LivePolicy(Policy policy);  // NOLINT(google-explicit-constructor)

  Policy Now() const;

  // Change the answers to all questions from now on.
  void Replace(Policy policy);
  void SetOwnAddresses(OwnAddresses own);

  // Give what the policy's own give; the two about connecting also give
  // SELF_CONNECT, which comes first, where the daemon itself listens.
  absl::Status CheckListen(const AnyWhereToListen& where) const;
  absl::Status CheckConnect(const AnyWhereToConnect& where) const;
  absl::Status CheckAddress(const Inet::Address& address) const;

  // Opens the file to connect to for `address` (ConnectOptions::open), which
  // stays the one that was checked, whoever moves or links files; gives none
  // where every file may be connected to, and for an abstract name that may be.
  // Errors: OUTSIDE_POLICY, SELF_CONNECT, those of lib/net/socket_file.h.
  absl::StatusOr<Descriptor> OpenSocket(const Unix::Address& address) const;

 private:
  struct Rules {
    Policy policy;
    OwnAddresses own;
  };
  struct Shared;

  std::shared_ptr<const Rules> Load() const;

  const std::shared_ptr<Shared> shared_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_ACCESS_LIVE_POLICY_H_
