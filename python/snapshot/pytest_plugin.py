"""Warm fixtures: set up once, and run every test from the same snapshot.

A test that uses the fixture `warm`, itself or by another fixture, runs in a branch of its own: its
fixtures are set up, then a snapshot is taken, the test runs, and the program goes back. So what a test
does to the fixtures, to modules or to threads is never seen by another. A test that crashes the process
is a test that failed.

    @pytest.fixture(scope="session")
    def server(warm):
        return Server()         # started once

Of a failed test the last 3,900 bytes of its traceback and output come through the revert.
"""

import pytest

from . import _snapshots

# The library's limit is 4,096, with its own few bytes.
_TEXT_BYTES = 3900


@pytest.fixture(scope="session")
def warm():
    """Every test that uses this runs in a branch that is undone when the test ends."""
    return _snapshots


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """The call of the test's function; its fixtures stand."""
    if "warm" not in pyfuncitem.fixturenames or getattr(pyfuncitem, "_in_branch", False):
        return None
    arrival = _snapshots.take(label=pyfuncitem.name)
    if arrival:
        _run_and_revert(pyfuncitem, arrival.id)
    kind, _, text = arrival.reason.partition("\n")
    if kind == "passed":
        return True
    if kind == "skipped":
        pytest.skip(text)
    if kind == "xfailed":
        pytest.xfail(text)
    pytest.fail(text if kind else f"the test's branch {arrival.how()}", pytrace=False)
    return None


def _run_and_revert(item, number):
    item._in_branch = True
    try:
        # The others that know how to call a test: plugins for coroutines, and pytest itself.
        item.ihook.pytest_pyfunc_call(pyfuncitem=item)
        reason = "passed"
    except pytest.skip.Exception as skipped:
        reason = f"skipped\n{skipped.msg}"
    except pytest.xfail.Exception as expected:
        reason = f"xfailed\n{expected.msg}"
    except BaseException:
        text = str(item.repr_failure(pytest.ExceptionInfo.from_current())) + _output_of(item)
        text = text.encode(errors="replace")[-_TEXT_BYTES:].decode(errors="ignore")
        reason = f"failed\n{text}"
    _snapshots.revert_with(number, reason)


def _output_of(item):
    """What the test has printed. It goes with the branch, so the failure quotes it."""
    capture = item.config.pluginmanager.getplugin("capturemanager")
    if capture is None or not capture.is_globally_capturing():
        return ""
    capture.suspend_global_capture(in_=False)
    output = capture.read_global_capture()
    capture.resume_global_capture()
    return "".join(
        f"\n----- in the branch: {name} -----\n{text}"
        for name, text in (("stdout", output.out), ("stderr", output.err))
        if text
    )
