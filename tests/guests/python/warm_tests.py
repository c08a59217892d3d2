"""Guest: tests of pytest with a warm fixture. Each changes what it can; none sees another's changes."""

import os
import sys
import threading

import pytest

SETUPS = []


@pytest.fixture(scope="session")
def state(warm):
    SETUPS.append(1)
    return {"list": [], "lock": threading.Lock()}


@pytest.mark.parametrize("number", range(20))
def test_private(state, number):
    assert SETUPS == [1]
    assert state["list"] == []
    assert not state["lock"].locked()
    assert not hasattr(os, "changed") and "CHANGED" not in os.environ
    assert os.getcwd() != "/"
    state["list"].append(number)
    state["lock"].acquire()
    os.changed = number
    os.environ["CHANGED"] = "yes"
    os.chdir("/")
    os.close(0)
    sys.path.clear()
    SETUPS.append(2)


def test_that_fails(state):
    print("printed in the branch")
    assert state["list"] == [1]


def test_that_crashes(state):
    os.abort()


def test_that_exits(state):
    os._exit(7)


def test_that_leaves(state):
    sys.exit("gone")


def test_that_is_skipped(state):
    pytest.skip("because it may")


@pytest.mark.xfail
def test_that_should_fail(state):
    assert state["list"] == [1]


def test_after_all(state):
    assert state["list"] == [] and SETUPS == [1]


def test_cold():
    SETUPS.append(3)


def test_cold_after():
    assert SETUPS == [1, 3]
