"""Samples, the rounds that they come in, and what is made of them."""

import dataclasses
import statistics

# The part of the machine's CPU time that others may use in a round.
DISTURBED = 0.10


@dataclasses.dataclass
class Sample:
    """One measurement of one contender."""
    # In the row's own unit.
    value: float
    # Of the machine's CPU time, what others used meanwhile.
    others: float
    # Microseconds: p50, p99, p999; empty if nothing was timed.
    latency: dict = dataclasses.field(default_factory=dict)
    # What was not as it should have been; shown while it runs.
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Spread:
    """The median and the quartiles."""
    low: float
    median: float
    high: float


def spread(values):
    values = list(values)
    if len(values) == 1:
        return Spread(*values * 3)
    return Spread(*statistics.quantiles(values, n=4, method="inclusive"))


@dataclasses.dataclass
class Rounds:
    """What was measured: in each round one sample of each contender."""
    # By the contender's name; as many samples in each list, in order.
    samples: dict
    # Rounds that others disturbed and that do not count.
    left_out: int
    # Such rounds that count, as there were not enough others.
    disturbed: int

    def values(self, name):
        return spread(sample.value for sample in self.samples[name])

    def ratios(self, name, baseline):
        """Of what was measured in the same round."""
        return spread(
            sample.value / beside.value for sample, beside in zip(
                self.samples[name], self.samples[baseline], strict=True))

    def latency(self, name):
        """The medians, by the quantile's name."""
        latencies = [sample.latency for sample in self.samples[name]]
        return {quantile: statistics.median(l[quantile] for l in latencies)
                for quantile in latencies[0]}


def run_rounds(contenders, wanted, most, tell):
    """Measures the contenders in turn, A B C A B C.

    The first round is a warm-up.  Disturbed rounds are run again until there
    are `wanted` others, but no more than `most` in all; the least disturbed
    ones fill up what is missing then.  `contenders` has a function by name
    that gives a Sample; `tell` is called with each.
    """
    undisturbed, disturbed = [], []
    for number in range(most + 1):
        samples = {}
        for name, measure in contenders.items():
            samples[name] = measure()
            tell(number, name, samples[name])
        if number == 0:
            continue
        worst = max(sample.others for sample in samples.values())
        if worst <= DISTURBED:
            undisturbed.append(samples)
        else:
            disturbed.append((worst, number, samples))
        if len(undisturbed) == wanted:
            break
    missing = wanted - len(undisturbed)
    counted = sorted(disturbed)[:missing]
    chosen = undisturbed + [samples for _, _, samples in counted]
    return Rounds({name: [samples[name] for samples in chosen]
                   for name in contenders},
                  len(disturbed) - len(counted), len(counted))
