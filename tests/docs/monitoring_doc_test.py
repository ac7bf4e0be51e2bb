"""Checks that docs/MONITORING.md describes the metrics that there are, and no
others."""
import re
import sys

ROW = re.compile(r"^\| `((?:portreeve|process)_\w+)` \|(.*)\|$", re.M)
TYPE = re.compile(r"^# TYPE (\w+) ", re.M)
LABELS = re.compile(r"^(\w+)\{(.*)\} ", re.M)
LABEL = re.compile(r'(\w+)="')
# What is of Prometheus, and what --metrics-label adds.
NOT_LISTED = re.compile(r"label_\w+")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def labels_of(name, scrape):
    """Gives the labels that the series of a metric have."""
    found = set()
    for series, labels in LABELS.findall(scrape):
        if re.fullmatch(re.escape(name) + "(_bucket|_sum|_count)?", series):
            found |= set(LABEL.findall(labels))
    return {label for label in found if not NOT_LISTED.fullmatch(label)}


def main():
    scrape = read("tests/server/metrics/all_metrics.prom")
    page = read("docs/MONITORING.md")
    section = page[page.index("\n## Metrics\n"):]
    rows = ROW.findall(section)
    documented = [name for name, _ in rows]
    known = TYPE.findall(scrape)
    faults = []
    faults += [f"{name}: described twice" for name in set(documented)
               if documented.count(name) > 1]
    faults += [f"{name}: not described" for name in known
               if name not in documented]
    faults += [f"{name}: described, and there is no such metric"
               for name in documented if name not in known]
    for name, rest in rows:
        cells = [cell.strip() for cell in rest.split("|")]
        if len(cells) != 3 or not cells[1]:
            faults.append(f"{name}: a row has labels, what it is, and when it "
                          "moves")
            continue
        # After a colon come the values.
        labels = {label for label, values in
                  re.findall(r"`(\w+)`(: [^;]*)?", cells[0])}
        for value in re.findall(r": ([^;]*)", cells[0]):
            labels -= set(re.findall(r"`(\w+)`", value))
        labels |= set(re.findall(r"`(\w+)`:", cells[0]))
        if labels != labels_of(name, scrape):
            faults.append(f"{name}: has the labels {labels_of(name, scrape)}, "
                          f"and described are {labels}")
    # Names in the text, with what a histogram makes of its own.
    for name in set(re.findall(r"`((?:portreeve|process)_\w+)", page)):
        if name not in known:
            faults.append(f"{name}: mentioned, and there is no such metric")
    for fault in faults:
        print(f"docs/MONITORING.md: {fault}")
    return 1 if faults or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
