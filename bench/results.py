"""What a row has come to."""

import dataclasses

SUBJECT = "portreeve"


@dataclasses.dataclass
class Result:
    name: str
    title: str
    # Of the values.
    unit: str
    # By contender: samples.Spread.
    values: dict
    # By contender, to `baseline`: samples.Spread; empty without one.
    ratios: dict
    baseline: str | None
    # The most that the subject's ratio, or its value without a baseline, may
    # be; None if there is no goal.
    goal: float | None
    # By contender: microseconds by quantile; empty if nothing was timed.
    latency: dict
    rounds: int
    left_out: int = 0
    disturbed: int = 0

    @classmethod
    def of(cls, row, rounds):
        names = list(rounds.samples)
        return cls(
            name=row.name, title=row.title, unit=row.unit, goal=row.goal,
            baseline=row.baseline if row.baseline in names else None,
            values={name: rounds.values(name) for name in names},
            ratios={name: rounds.ratios(name, row.baseline) for name in names
                    if row.baseline in names},
            latency={name: rounds.latency(name) for name in names},
            rounds=len(rounds.samples[names[0]]), left_out=rounds.left_out,
            disturbed=rounds.disturbed)

    @property
    def achieved(self):
        """What the goal is about; None if the subject was not measured."""
        spread = (self.ratios if self.baseline else self.values).get(SUBJECT)
        return spread and spread.median

    @property
    def met(self):
        if self.goal is None or self.achieved is None:
            return None
        return self.achieved <= self.goal
