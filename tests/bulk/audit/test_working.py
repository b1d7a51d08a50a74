"""Work that is done side by side, in processes that may die."""

from __future__ import annotations

import pytest

from heedful.bulk.audit import _audit

DIE = "import os; os._exit(1)"


def nothing():
    pass


def lost(text):
    return "lost"


@pytest.mark.parametrize("processes", [1, 3])
def test_each_job_is_done_once(processes):
    jobs = [("7",), ("8",), ("9",)]
    done = dict(_audit._side_by_side(eval, jobs, processes, nothing, (), nothing, lost))
    assert done == {0: 7, 1: 8, 2: 9}


@pytest.mark.parametrize("place", [0, 3, 11])
def test_a_process_that_dies_takes_no_more_with_it_than_what_was_at_work(place):
    """What was being done is told as lost, all else is done, by processes that come after."""
    jobs = [("pass",)] * 12
    jobs[place] = (DIE,)
    done = list(_audit._side_by_side(exec, jobs, 2, nothing, (), nothing, lost))
    assert sorted(number for number, _ in done) == list(range(12))
    outcomes = dict(done)
    assert outcomes[place] == "lost"
    assert sum(outcome == "lost" for outcome in outcomes.values()) <= 4


def test_an_error_of_the_work_itself_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(_audit._side_by_side(eval, [("1/0",), ("1",)], 2, nothing, (), nothing, lost))
