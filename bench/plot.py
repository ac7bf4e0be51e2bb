"""The results as a picture."""

from results import SUBJECT

COLOURS = {
    SUBJECT: "#d62728", "raw": "#2ca02c", "asio": "#9467bd",
    "haproxy": "#1f77b4", "haproxy-splice": "#17becf", "nginx": "#ff7f0e",
}
OTHERS = "#7f7f7f"
# What is outside stands at the edge, as text.
LEAST, MOST = 0.25, 6


def draw(results, path):
    """Paired ratios with their spread, and the goals, as SVG with text."""
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    # The same results give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "portreeve"
    from matplotlib import pyplot

    rows = [result for result in results if result.ratios]
    if not rows:
        return
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.36 * len(rows)))
    axes.set_xscale("log")
    axes.set_xlim(LEAST, MOST)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    for place, result in enumerate(rows):
        draw_row(axes, place, result)
    axes.set_yticks(range(len(rows)),
                    [f"{result.title} (× {result.baseline})"
                     for result in rows])
    ticks = [0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    axes.set_xlabel("paired ratio, median and quartiles; less is better")
    # Each contender once.
    legend = dict(zip(*reversed(axes.get_legend_handles_labels())))
    axes.legend(legend.values(), legend.keys(), loc="lower center",
                bbox_to_anchor=(0.4, 1), ncol=5, frameon=False,
                fontsize="small")
    figure.savefig(path, format="svg", bbox_inches="tight",
                   metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def draw_row(axes, place, result):
    if place % 2:
        axes.axhspan(place - 0.5, place + 0.5, color="#f5f5f5", zorder=0)
    if result.goal is not None:
        axes.plot([result.goal] * 2, [place - 0.4, place + 0.4],
                  color="black", linewidth=1.5, label="goal")
    for name, spread in result.ratios.items():
        colour = COLOURS.get(name, OTHERS)
        own = name == SUBJECT
        if not LEAST <= spread.median <= MOST:
            low = spread.median < LEAST
            axes.text(LEAST * 1.02 if low else MOST / 1.02, place,
                      f"◂ {spread.median:.3g}" if low
                      else f"{spread.median:.3g} ▸",
                      color=colour, ha="left" if low else "right", va="center",
                      fontsize="small")
            continue
        axes.errorbar(
            spread.median, place,
            xerr=[[spread.median - spread.low], [spread.high - spread.median]],
            fmt="o" if own else "|", color=colour, capsize=2,
            markersize=6 if own else 9, zorder=3 if own else 2, label=name)
