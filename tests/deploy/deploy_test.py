"""Checks deploy/: Prometheus takes the alerts, the dashboard is one, and both ask
for metrics that there are."""
import json
import re
import subprocess
import unittest

ALERTS = "deploy/prometheus-alerts.yaml"
DASHBOARD = "deploy/grafana-dashboard.json"
NAME = re.compile(r"\b((?:portreeve|process)_[a-z0-9_]+)")
SELECTOR = re.compile(r"\b((?:portreeve|process)_[a-z0-9_]+)\{([^}]*)\}")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def known():
    """Gives the names of all series, by their metric's type."""
    names = {}
    scrape = read("tests/server/metrics/all_metrics.prom")
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", scrape, re.M):
        if kind != "histogram":
            names[name] = kind
            continue
        for suffix in ("_bucket", "_sum", "_count"):
            names[name + suffix] = "counter"
    return names


def labels_of(name):
    """Gives the labels of the series of this name, and Prometheus's own."""
    scrape = read("tests/server/metrics/all_metrics.prom")
    found = {"job", "instance"}
    for labels in re.findall(rf"^{name}\{{(.*)\}} ", scrape, re.M):
        found |= set(re.findall(r'(\w+)="', labels))
    return found


def walk(value, key):
    """Gives the values of `key` anywhere in a tree."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from walk(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner, key)


class ExpressionsTest(unittest.TestCase):
    def check(self, expression):
        names = known()
        for name in NAME.findall(expression):
            self.assertIn(name, names, expression)
        for name, selector in SELECTOR.findall(expression):
            for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector):
                self.assertIn(label, labels_of(name), expression)
        # A rate is of a counter, and a counter is seen by its rate alone.
        for function, name in re.findall(
                r"\b(rate|increase)\(\s*(\w+)", expression):
            self.assertEqual(names[name], "counter", function)
        for name in NAME.findall(expression):
            if names[name] == "counter":
                self.assertRegex(expression,
                                 rf"(rate|increase)\(\s*{name}\b", expression)


class AlertsTest(ExpressionsTest):
    def test_prometheus_takes_them(self):
        subprocess.run(["promtool", "check", "rules", ALERTS], check=True)

    def test_they_ask_for_metrics_that_there_are(self):
        text = read(ALERTS)
        blocks = re.findall(
            r"^ +expr: (?:\|\n((?: {10,}.*\n)+)|(.*)\n)", text, re.M)
        self.assertEqual(len(blocks), text.count("- alert:"))
        for block in blocks:
            self.check("".join(block))

    def test_they_tell_whom_they_wake_and_why(self):
        text = read(ALERTS)
        alerts = text.count("- alert:")
        self.assertGreater(alerts, 10)
        for line in ("severity:", "summary:", "description:"):
            self.assertEqual(
                len(re.findall(rf"^ +{line}", text, re.M)), alerts, line)


class DashboardTest(ExpressionsTest):
    @classmethod
    def setUpClass(cls):
        cls.dashboard = json.loads(read(DASHBOARD))

    def test_it_asks_for_metrics_that_there_are(self):
        expressions = list(walk(self.dashboard, "expr"))
        self.assertGreater(len(expressions), 30)
        for expression in expressions:
            self.check(expression)
        for variable in self.dashboard["templating"]["list"]:
            for name in NAME.findall(json.dumps(variable["query"])):
                self.assertIn(name, known())

    def test_prometheus_takes_what_it_asks(self):
        rules = ["groups:", "- name: dashboard", "  rules:"]
        for i, expression in enumerate(walk(self.dashboard, "expr")):
            expression = expression.replace("$__rate_interval", "5m")
            self.assertNotIn("$__", expression)
            rules += [f"  - record: panel:{i}",
                      f"    expr: {json.dumps(expression)}"]
        subprocess.run(["promtool", "check", "rules", "/dev/stdin"],
                       input="\n".join(rules).encode(), check=True)

    def test_all_metrics_of_the_daemon_are_on_it(self):
        text = read(DASHBOARD)
        seen = set(NAME.findall(text))
        bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in seen}
        scrape = read("tests/server/metrics/all_metrics.prom")
        for name in re.findall(r"^# TYPE (portreeve_\w+)", scrape, re.M):
            self.assertIn(name, bases)

    def test_it_is_sound(self):
        panels = self.dashboard["panels"]
        ids = [panel["id"] for panel in panels]
        self.assertEqual(len(ids), len(set(ids)))
        taken = set()
        for panel in panels:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            cells = {(x, y)
                     for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])}
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells
            if panel["type"] == "row":
                continue
            self.assertTrue(panel["title"])
            refs = [target["refId"] for target in panel["targets"]]
            self.assertEqual(len(refs), len(set(refs)), panel["title"])
        # The variables in use are there.
        names = {variable["name"]
                 for variable in self.dashboard["templating"]["list"]}
        used = set(re.findall(r"\$\{?([a-z]\w*)", read(DASHBOARD)))
        self.assertEqual(used, names)


if __name__ == "__main__":
    unittest.main()
