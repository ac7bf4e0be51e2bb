#include "lib/lane/loop_group.h"

#include "absl/strings/str_cat.h"

namespace portreeve {

LoopGroup::LoopGroup(Loop& home, int count) : lanes_(Lane::Of(home.context())) {
  for (int i = 1; i < count; ++i) {
    others_.push_back(std::make_unique<Loop>(absl::StrCat("loop-", i)));
    Loop& loop = *others_.back();
    auto make_lane = [&loop] { return &Lane::Of(loop.context()); };
    lanes_.Add(*loop.Run(make_lane).get());
  }
}

}  // namespace portreeve
