"""The steps of a Dockerfile, as far as packaging/Dockerfile has them."""

import json
import re

from root import run


class Stage:
    """What comes after one FROM: its instructions, in their order."""

    def __init__(self, base, name):
        self.base = base
        self.name = name
        self.steps = []  # (instruction, the rest).

    def the(self, instruction):
        (value,) = [rest for kind, rest in self.steps if kind == instruction]
        return value

    def words(self, instruction):
        """Those of one that is given as a list."""
        return json.loads(self.the(instruction))


def stages(text):
    lines = [line for line in text.splitlines()
             if line.strip() and not line.lstrip().startswith("#")]
    found = []
    for step in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        instruction, rest = step.split(maxsplit=1)
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(base, name))
        else:
            found[-1].steps.append((instruction, rest))
    return found


def carry_out(stage, root, sources):
    """Runs the steps of `stage` in `root`, which stands for its base. `sources`
    gives the file or folder of this machine that each COPY speaks of."""
    folder = "/"
    for instruction, rest in stage.steps:
        if instruction == "RUN":
            root.run_alone("env", f"--chdir={folder}", "sh", "-c", rest)
        elif instruction == "COPY":
            source, target = rest.rsplit(" ", 1)
            run("cp", "--archive", "--no-target-directory", sources[source],
                root.path(target))
        elif instruction == "WORKDIR":
            folder = rest
        else:
            # What follows says how the container is run.
            assert instruction in ("USER", "VOLUME", "ENTRYPOINT", "CMD",
                                   "HEALTHCHECK"), instruction
