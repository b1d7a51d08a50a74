"""The engine on Spark: a row for each piece of a file, over which `mapInArrow` runs.

The rows are a range of numbers, one in each partition, so that each piece is a task of its own, which Spark
hands out, and hands out again if its process is lost. See `_cluster` for what a task does.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any, Final

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark import Accumulator, AccumulatorParam, SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote

from heedful.bulk.filter import _cluster
from heedful.bulk.filter._local import GO_ON, UnfinishedError
from heedful.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from heedful.bulk.filter._files import Source
    from heedful.bulk.filter._local import Result, Step
    from heedful.bulk.filter._state import State
    from heedful.bulk.filter._task import Task

_ALL_CORES: Final = "local[*]"
"""Spark's master where nobody has named one."""

_OWN: Final = {
    "spark.app.name": "heedful filter",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
"""Settings of a Spark that is started here."""

_PYTHON: Final = "PYSPARK_PYTHON"
"""The variable of the environment that says which Python Spark's workers run."""

_SCHEMA: Final = "answer binary"


def run(task: Task, sources: Sequence[Source], state: State, *, progress: Callable[[Step], None]) -> Result:
    """Filter files on Spark.

    The session that there is is used; else one is started, and stopped at the end: on the cluster that
    Spark's own settings name (`spark-submit --master`, `PYSPARK_SUBMIT_ARGS`, `spark-defaults.conf`), or with
    `task.processes` on this machine.

    Args and raises: see `_cluster.run`.
    """
    return _cluster.run(task, sources, state, _session(task), progress=progress)


@contextmanager
def _session(task: Task) -> Iterator[_cluster.Carry]:
    if is_remote():
        raise ConfigurationError(
            "This is a session of Spark Connect, which cannot be used: give a classic one."
        )
    if SparkContext._active_spark_context is not None:  # noqa: SLF001 - an active session may be another thread's
        yield partial(_carry, SparkSession.builder.getOrCreate(), task)
        return
    with tempfile.TemporaryFile("w+") as log:
        session = _started(task.processes, log)
        try:
            yield partial(_carry, session, task)
        finally:
            session.stop()


def _started(processes: int, log: IO[str]) -> SparkSession:
    """A session of our own.

    Args:
        processes: how many there are, if it runs on this machine.
        log: gets what Java prints.

    Raises:
        ConfigurationError: Spark does not start.
    """
    try:
        gateway = SparkContext._gateway or launch_gateway(popen_kwargs={"stdout": log, "stderr": log})  # noqa: SLF001
        conf = SparkConf(_jvm=gateway.jvm)  # with what Spark's own settings say
        for key, value in _OWN.items():
            conf.setIfMissing(key, value)
        if conf.get("spark.master", _ALL_CORES) == _ALL_CORES:
            conf.setMaster(f"local[{processes},{_cluster.ATTEMPTS}]")
        context = SparkContext(conf=conf, gateway=gateway)
        if _PYTHON not in os.environ:
            context.pythonExec = sys.executable  # all that is installed for it is needed
        return SparkSession(context)
    except (PySparkException, Py4JError, OSError) as error:
        log.seek(0)
        lines = [line.strip() for line in log if line.strip()]
        no_java = isinstance(error, PySparkException) and lines
        words = lines[0] if no_java else _cluster.words(error)
        raise ConfigurationError(f"Spark could not be started (it needs Java): {words}") from error


def _carry(
    session: SparkSession, task: Task, do: Callable[[bytes], bytes], rows: Sequence[bytes]
) -> Generator[bytes, None, None]:
    """Have Spark do something for each row; see `_cluster.Carry`.

    Answers come as tasks end, by an accumulator; `collect` only tells that all have.
    """
    context = session.sparkContext
    answers: SimpleQueue[bytes | None] = SimpleQueue()
    early = context.accumulator([], _Early(answers))
    # Remote registries' rates are shared among so many processes.
    partitions = min(len(rows), task.processes) if task.configuration.policy.remotes else len(rows)
    frame = session.range(0, len(rows), 1, partitions).mapInArrow(_Rows(do, tuple(rows), early), _SCHEMA)
    group = f"heedful-{task.run.id}"
    failures: list[Exception] = []

    def collect() -> None:
        try:
            context.setJobGroup(group, "heedful filter", interruptOnCancel=True)
            for row in frame.collect():
                answers.put(bytes(row.answer))
        except Exception as error:  # noqa: BLE001 - raised in the other thread
            failures.append(error)
        finally:
            answers.put(None)

    collecting = threading.Thread(target=collect, name="heedful spark")
    collecting.start()
    try:
        while (answer := answers.get()) is not None:
            yield answer
    finally:
        if collecting.is_alive():
            context.cancelJobGroup(group)
        collecting.join()
    if failures:
        raise UnfinishedError(f"Spark gave up: {_cluster.words(failures[0])}. {GO_ON}") from failures[0]


@dataclass(frozen=True)
class _Rows:
    """What `mapInArrow` calls in Spark's workers."""

    do: Callable[[bytes], bytes]
    rows: tuple[bytes, ...]
    early: Accumulator[list[bytes]]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                answer = self.do(self.rows[number])
                self.early.add([answer])
                yield pa.RecordBatch.from_arrays([pa.array([answer], pa.binary())], ["answer"])


class _Early(AccumulatorParam[list[bytes]]):  # type: ignore[misc]
    """Adds answers up in workers, and hands them on where they are awaited."""

    def __init__(self, answers: SimpleQueue[bytes | None] | None = None) -> None:
        self._answers = answers

    def __reduce__(self) -> tuple[Any, ...]:
        return _Early, ()

    def zero(self, _: list[bytes]) -> list[bytes]:
        return []

    def addInPlace(self, value: list[bytes], more: list[bytes]) -> list[bytes]:  # noqa: N802 - Spark's name
        if self._answers is None:
            return value + more
        for answer in more:
            self._answers.put(answer)
        return value
