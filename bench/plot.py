"""The results as a picture."""

from results import SUBJECT

COLOURS = {
    SUBJECT: "#d62728", "raw": "#2ca02c", "asio": "#9467bd",
    "haproxy": "#1f77b4", "haproxy-splice": "#17becf", "nginx": "#ff7f0e",
    "grpc": "#7f7f7f",
}


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
        return False
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.42 * len(rows)))
    labelled = set()
    for place, result in enumerate(rows):
        for name, spread in result.ratios.items():
            colour = COLOURS.get(name, "#7f7f7f")
            axes.errorbar(
                spread.median, place,
                xerr=[[spread.median - spread.low],
                      [spread.high - spread.median]],
                fmt="o" if name == SUBJECT else "|", color=colour,
                markersize=6 if name == SUBJECT else 9, capsize=2,
                zorder=3 if name == SUBJECT else 2,
                label=None if name in labelled else name)
            labelled.add(name)
        if result.goal is not None:
            axes.plot([result.goal] * 2, [place - 0.4, place + 0.4],
                      color="black", linewidth=1.2,
                      label=None if "goal" in labelled else "goal")
            labelled.add("goal")
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels(
        [f"{result.title} (× {result.baseline})" for result in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    ticks = [0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    axes.set_xlabel("paired ratio, median and quartiles; less is better")
    axes.legend(loc="upper center", bbox_to_anchor=(0.3, -0.6 / len(rows)),
                ncol=4, frameon=False, fontsize="small")
    figure.savefig(path, format="svg", bbox_inches="tight",
                   metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    return True
