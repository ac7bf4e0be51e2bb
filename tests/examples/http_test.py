"""The HTTP/1.1 servers, as curl and wrk see them."""

import re
import subprocess
import unittest

from harness import LANGUAGE, TIMEOUT, Daemon, Worker, main

REQUESTS = 1000
CLOSE = ["-H", "Connection: close"]


class HttpTest(unittest.TestCase):

    def setUp(self):
        self.daemon = self.enterContext(Daemon())
        address = self.daemon.create("http")
        self.url = "http://%s:%s" % address
        self.enterContext(Worker("http", self.daemon, "http"))

    def run_program(self, *arguments):
        result = subprocess.run(arguments, capture_output=True, text=True,
                                timeout=TIMEOUT, check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def status(self):
        return self.daemon.get("http").status

    def curl(self, *more):
        """1000 requests by one process; each answer is checked."""
        output = self.run_program(
            "curl", "-q", "-sS", "--fail", "--noproxy", "*", "-w",
            "%{http_code}\\n", *more, f"{self.url}/[1-{REQUESTS}]")
        expected = []
        for number in range(1, REQUESTS + 1):
            expected += [f"GET /{number}, 0 bytes", "200"]
        self.assertEqual(output.splitlines(), expected)
        self.assertEqual(self.status().handler_errors_total, 0)
        return self.status().accepted_total

    def wrk(self, *more):
        """At least 1000 requests, of which none fails."""
        requests = 0
        while requests < REQUESTS:  # Once, but on a slow machine.
            output = self.run_program("wrk", "-t1", "-c16", "-d2s",
                                      "--timeout", "30s", *more, self.url)
            self.assertNotIn("Socket errors", output)
            self.assertNotIn("Non-2xx", output)
            requests += int(re.search(r"(\d+) requests in", output)[1])
        self.assertEqual(self.status().handler_errors_total, 0)
        return requests, self.status().accepted_total

    def test_curl_keep_alive(self):
        self.assertEqual(self.curl(), 1)

    def test_curl_close(self):
        self.assertEqual(self.curl(*CLOSE), REQUESTS)

    def test_wrk_keep_alive(self):
        requests, connections = self.wrk()
        self.assertLess(connections, requests // 10)

    def test_wrk_close(self):
        requests, connections = self.wrk(*CLOSE)
        self.assertGreaterEqual(connections, requests)

    def test_bodies_and_what_is_not_http(self):
        body = "x" * 100_000
        self.assertEqual(
            self.run_program("curl", "-q", "-sS", "--noproxy", "*", "-d", body,
                             f"{self.url}/post"),
            f"POST /post, {len(body)} bytes\n")
        sizes = ["many", "-1"]
        if LANGUAGE == "python":
            sizes.append("1000000000000")  # Node's server keeps no body.
        for size in sizes:
            self.assertEqual(
                self.run_program("curl", "-q", "-sS", "--noproxy", "*", "-o",
                                 "/dev/null", "-w", "%{http_code}", "-H",
                                 f"Content-Length: {size}", self.url), "400")
        self.assertEqual(self.status().handler_errors_total, 0)


if __name__ == "__main__":
    main()
