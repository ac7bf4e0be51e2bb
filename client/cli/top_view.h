// TopView: what `portreeve top` shows of its model, and what keys do to that.
#ifndef PORTREEVE_CLIENT_CLI_TOP_VIEW_H_
#define PORTREEVE_CLIENT_CLI_TOP_VIEW_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "client/cli/top_model.h"

namespace portreeve::cli {

// Knows no terminal: it takes the bytes that one sends, and gives lines.
class TopView {
 public:
  explicit TopView(TopOrder order) : order_(order) {}

  enum class Action { kNone, kRedraw, kDetails, kQuit };
  // Takes what was typed: s orders by the next column, / begins a filter, which
  // Enter keeps and Escape takes away; the arrows, j and k select a listener,
  // whose details Enter asks for; q ends.
  Action OnInput(absl::string_view bytes);

  // The listener that is selected; "" before there is one.
  const std::string& selected() const { return selected_; }

  struct Size {
    size_t columns = 80;
    size_t rows = 24;
  };
  // Gives the lines of a screen, with escape sequences for colours, and none
  // wider than it.  It scrolls so that the selected listener is there.
  std::vector<std::string> Draw(const TopModel& model,
                                const std::string& headline, Size size);

  // The table alone, at most `most` listeners, for what is no terminal.
  std::string Table(const TopModel& model, size_t most) const;

 private:
  Action OnFilterKey(char key);
  void Move(int by);

  TopOrder order_;
  std::string filter_;
  bool typing_filter_ = false;
  std::vector<std::string> shown_;  // The names of all rows, as last drawn.
  size_t first_row_ = 0;            // The first of them that is on the screen.
  std::string selected_;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_TOP_VIEW_H_
