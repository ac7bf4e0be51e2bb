"""Tests that are run with the bytes on their server's loop and on others."""

def cc_test_at_loops(name, srcs, deps, except_at_4_loops = [], **kwargs):
    """Declares `name` and `name`_at_4_loops, compiled once.

    Args:
      name: of the test.
      srcs: as of a cc_test.
      deps: as of a cc_test.
      except_at_4_loops: tests, as gtest names them, that move a clock of their
        own, count the steps of a loop, or wait for what only its own steps
        change, as can only be done with one.
      **kwargs: of both tests.
    """
    native.cc_library(
        name = name + "_cases",
        testonly = True,
        srcs = srcs,
        alwayslink = True,
        deps = deps,
    )
    native.cc_test(
        name = name,
        deps = [":" + name + "_cases"],
        **kwargs
    )
    native.cc_test(
        name = name + "_at_4_loops",
        args = ["--gtest_filter=-" + ":".join(except_at_4_loops)],
        env = {"PORTREEVE_TEST_LOOPS": "4"},
        deps = [":" + name + "_cases"],
        **kwargs
    )
