"""Tests of what holds for both kinds of address."""

def cc_test_of_both_kinds(name, deps, hdrs = [], **kwargs):
    """Declares a test of Inet and one of Unix, which `name` runs both.

    The two are called as `name`, with `_inet` or `_unix` before its `_test`.

    Args:
      name: of the suite, and of its source without `.cc`.
      deps: as of a cc_test.
      hdrs: headers of its own.
      **kwargs: of both tests.
    """
    tests = []
    for kind in ["Inet", "Unix"]:
        test = name.replace("_test", "_%s_test" % kind.lower())
        native.cc_test(
            name = test,
            srcs = [name + ".cc", "both_kinds.h"] + hdrs,
            local_defines = ["PORTREEVE_KIND=" + kind],
            deps = deps + ["//third_party:gtest_main"],
            **kwargs
        )
        tests.append(test)
    native.test_suite(
        name = name,
        tests = tests,
    )
