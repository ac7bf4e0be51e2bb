#include "server/metrics/own_series.h"

#include <utility>

namespace portreeve::server {

bool OwnSeries::Has(const std::string& uid) {
  if (own_.contains(uid)) return true;
  if (folded_.contains(uid)) return false;
  if (own_.size() < most_) {
    own_.insert(uid);
    return true;
  }
  folded_.insert(uid);
  has_folded_ = true;
  return false;
}

bool OwnSeries::Forget(const std::string& uid) {
  own_.erase(uid);
  return folded_.erase(uid) > 0;
}

void OwnSeries::Restore(Uids own, Uids folded, bool has_folded) {
  own_ = std::move(own);
  folded_ = std::move(folded);
  has_folded_ = has_folded;
}

}  // namespace portreeve::server
