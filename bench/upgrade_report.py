"""Tables of what upgrades have done."""

import dataclasses
import json

from upgrade_beside import IDLE


def longest(one, who, what):
    """Near upgrades, and otherwise."""
    return f"{one.near[who][what]:.0f} ms ({one.otherwise[who][what]:.0f})"


def loads_table(results):
    """One line for each load and proxy."""
    lines = ["| load | proxy | failed connects | cut connections | longest "
             "silence | longest connect | from before | the tool |",
             "|---|---|---|---|---|---|---|---|"]
    for one in results:
        bold = "" if one.outcome.whole else "**"
        inside = ("" if one.inside == one.upgrades
                  else f"; {one.inside} of {one.upgrades} upgrades came "
                  "before its end")
        lines.append(
            f"| {one.load} | {one.proxy} | {one.failed} | {one.cut} "
            f"| {longest(one, 'ping', 'silence_ms')} "
            f"| {longest(one, 'fresh', 'longest_ms')} "
            f"| {one.alive} of {IDLE} live "
            f"| {bold}{one.outcome.note}{inside}{bold} |")
    return "\n".join(lines) + "\n"


def number(figure):
    if figure.unit == "us":
        return f"{figure.value:.1f} us"
    return f"{figure.value:.0f} {figure.unit}".strip()


def rows_table(figures):
    lines = ["| work | what | goal | | | |", "|---|---|---|---|---|---|"]
    for figure in figures:
        goal = ("–" if figure.goal is None
                else f"≤ {figure.goal} {figure.unit}".strip())
        met = {None: "–", True: "met", False: "**not met**"}[figure.met]
        lines.append(f"| {figure.work} | {figure.what} | {goal} "
                     f"| {figure.who} {number(figure)} | {met} "
                     f"| {figure.note} |")
    return "\n".join(lines) + "\n"


def as_json(results, figures, about):
    return json.dumps(
        {**about, "loads": [dataclasses.asdict(one) for one in results],
         "rows": [dataclasses.asdict(figure) for figure in figures]},
        indent=1) + "\n"
