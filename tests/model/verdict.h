// Judge: whether what was seen of a pair may be.
#ifndef PORTREEVE_TESTS_MODEL_VERDICT_H_
#define PORTREEVE_TESTS_MODEL_VERDICT_H_

#include <string>
#include <vector>

#include "tests/model/history.h"

namespace portreeve::model {

// What is wrong with it, in a sentence each; empty for a pair that is right.
//
// Each rule holds whatever the order in which the kernel and the daemon did
// what happened at the same time.  What that needs:
//
// - A side that closed its socket before it saw an end has seen none, and is
//   asked for nothing but that what it received was right.
// - close(2) with nothing unread may be FIN or a reset for the daemon, and what
//   was sent before FIN and before a reset may have arrived or not: so an end
//   is allowed where the side may have ended in order, but only with all that
//   it sent.
// - TCP: who has received FIN sees it behind all data, whatever comes after
//   it; who has received RST only can still read what came before.
// - A unix socket that is closed shows the other side an end, or ECONNRESET
//   where something was unread: which of them says nothing.  But all that was
//   written to it stays readable: so `bytes_sent` is what a unix side received,
//   always, and where the daemon names an end in order, nothing is missing.
std::vector<std::string> Judge(const PairHistory& pair);

}  // namespace portreeve::model

#endif  // PORTREEVE_TESTS_MODEL_VERDICT_H_
