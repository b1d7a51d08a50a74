"""The engine on Ray Data: a row for each piece of a file, each a block and so a task of its own.

See `_cluster` for what a task does.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import ray
import ray.data

from heedful.bulk.filter import _cluster
from heedful.bulk.filter._local import GO_ON, UnfinishedError
from heedful.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from heedful.bulk.filter._files import Source
    from heedful.bulk.filter._local import Result, Step
    from heedful.bulk.filter._state import State
    from heedful.bulk.filter._task import Task

_ROW, _ANSWER = "item", "answer"
"""Columns; Ray calls the first one so."""


def run(task: Task, sources: Sequence[Source], state: State, *, progress: Callable[[Step], None]) -> Result:
    """Filter files on Ray.

    The cluster that this process is connected with is used; else the one that Ray finds (`RAY_ADDRESS`, or
    one that runs on this machine); else one is started here, with `task.processes`, and stopped at the end.

    Args and raises: see `_cluster.run`.
    """
    return _cluster.run(task, sources, state, _cluster_of(task), progress=progress)


@contextmanager
def _cluster_of(task: Task) -> Iterator[_cluster.Carry]:
    with _quiet():
        connected = ray.is_initialized()
        if not connected:
            _connect(task.processes)
        try:
            yield partial(_carry, task)
        finally:
            if not connected:
                ray.shutdown()


def _connect(processes: int) -> None:
    """Connect with the cluster that there is, or start one.

    Raises:
        ConfigurationError: neither can be done.
    """
    alike: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        try:
            ray.init("auto", **alike)
        except ConnectionError:
            if os.environ.get("RAY_ADDRESS"):
                raise
            ray.init("local", num_cpus=processes, include_dashboard=False, **alike)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise ConfigurationError(f"Ray could not be reached or started: {_cluster.words(error)}") from error


def _carry(task: Task, do: Callable[[bytes], bytes], rows: Sequence[bytes]) -> Generator[bytes, None, None]:
    """Have Ray do something for each row; see `_cluster.Carry`."""
    # Remote registries' rates are shared among so many processes.
    most = task.processes if task.configuration.policy.remotes else None
    begun = ray.remote(num_cpus=0)(_Begun).remote()
    answers = ray.data.from_items(list(rows), override_num_blocks=len(rows)).map(
        partial(_answered, do, begun), compute=ray.data.TaskPoolStrategy(most)
    )
    answers.context.enable_progress_bars = False
    try:
        for row in answers.iter_rows():
            yield row[_ANSWER]
    except ray.exceptions.RayError as error:
        raise UnfinishedError(f"Ray gave up: {_cluster.words(error)}. {GO_ON}") from error


class _Begun:
    """Counts how often each row was begun: Ray Data itself goes on for ever where processes are killed."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()

    def count(self, row: bytes) -> int:
        self._counts[row] += 1
        return self._counts[row]


def _answered(do: Callable[[bytes], bytes], begun: Any, row: dict[str, bytes]) -> dict[str, bytes]:
    """What Ray calls in its workers."""
    if ray.get(begun.count.remote(row[_ROW])) > _cluster.ATTEMPTS:
        raise RuntimeError(f"a process was killed {_cluster.ATTEMPTS} times, perhaps for want of memory")
    return {_ANSWER: do(row[_ROW])}


@contextmanager
def _quiet() -> Iterator[None]:
    """Have Ray say nothing: what is wrong is raised."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray.data")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
