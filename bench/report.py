"""The results as text: a table in Markdown, and JSON."""

import dataclasses
import json

from results import SUBJECT


def number(value):
    """Three significant digits, or all before the point."""
    if value == 0:
        return "0"
    for limit, digits in ((100, 0), (10, 1), (1, 2), (0.1, 3)):
        if abs(value) >= limit:
            return f"{value:.{digits}f}"
    return f"{value:.2g}"


def ratio(spread):
    # A thirtieth is not 0.03.
    digits = 2 if spread.median >= 0.1 else 4
    return (f"{spread.median:.{digits}f} "
            f"({spread.low:.{digits}f}–{spread.high:.{digits}f})")


def goal(result):
    if result.goal is None:
        return "–"
    if result.baseline is None:
        return f"≤ {number(result.goal)} {result.unit}"
    limit = f"{result.goal:.3g}" if result.goal >= 0.1 else f"{result.goal:.4f}"
    return f"≤ {limit} × {result.baseline}"


def verdict(result):
    return {None: "–", True: "met", False: "**not met**"}[result.met]


def measured(result, name):
    """A ratio, or a value where nothing is compared."""
    if result.ratios:
        return ratio(result.ratios[name])
    return f"{number(result.values[name].median)} {result.unit}"


def markdown(results):
    """Two tables: the goals, and what is behind them."""
    lines = ["| work | goal | portreeve | | others |",
             "|---|---|---|---|---|"]
    for result in results:
        others = ", ".join(
            f"{name} {measured(result, name)}" for name in result.values
            if name not in (SUBJECT, result.baseline))
        own = (measured(result, SUBJECT) if SUBJECT in result.values else "–")
        lines.append(f"| {result.title} | {goal(result)} | {own} |"
                     f" {verdict(result)} | {others} |")
    lines += ["", "| row | server | cost | p50 | p99 | p99.9 | rounds |",
              "|---|---|---|---|---|---|---|"]
    for result in results:
        for name, value in result.values.items():
            latency = result.latency.get(name) or {}
            quantiles = " | ".join(
                f"{number(latency[quantile])} us" if latency else "–"
                for quantile in ("p50", "p99", "p999"))
            lines.append(
                f"| {result.name} | {name} | {number(value.median)} "
                f"{result.unit} | {quantiles} | {rounds(result)} |")
    return "\n".join(lines) + "\n"


def rounds(result):
    text = str(result.rounds)
    if result.disturbed:
        text += f", {result.disturbed} of them disturbed"
    if result.left_out:
        text += f", {result.left_out} left out"
    return text


def line(result):
    """One line for whoever waits."""
    parts = [f"{name} {measured(result, name)}" for name in result.values
             if name != result.baseline]
    return (f"{result.name}: {'; '.join(parts)}; goal {goal(result)}: "
            f"{verdict(result)} ({rounds(result)} rounds)")


def as_json(results, about):
    rows = [{**dataclasses.asdict(result), "met": result.met}
            for result in results]
    return json.dumps({**about, "rows": rows}, indent=1) + "\n"
