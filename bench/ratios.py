"""Medians, spreads, and which rounds count."""

import dataclasses
import statistics

# Of the CPU time of all CPUs in a round, the part that others may use.
DISTURBED = 0.10


@dataclasses.dataclass(frozen=True)
class Spread:
    """The median and the quartiles."""
    low: float
    median: float
    high: float
    count: int


def spread(values):
    values = list(values)
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], 1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(low, median, high, len(values))


def paired(subject, baseline):
    """The spread of the ratios of what was measured in the same round."""
    if len(subject) != len(baseline):
        raise ValueError("not pairs")
    return spread(s / b for s, b in zip(subject, baseline))


def others_share(busy_ns, own_ns, seconds, cpus):
    """The part of the machine's CPU time that was used, but not by us.

    The first figure comes in ticks, so it may be the smaller one.
    """
    return max(0.0, busy_ns - own_ns) / (seconds * 1e9 * cpus)


def disturbed(share):
    return share > DISTURBED
