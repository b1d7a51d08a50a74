"""img2dataset's `download`, guarded: what the parent of the workers does."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import multiprocessing
import os
import secrets
import signal
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from heedful.configuration import Configuration
from heedful.errors import ConfigurationError, HeedfulError, LedgerError
from heedful.img2dataset import _lists, _main, _results
from heedful.img2dataset._ahead import asking_ahead
from heedful.img2dataset._rows import RowEnforcer
from heedful.img2dataset._shard import TAGS, Guard, GuardedDownloader, environment, quiet_albumentations
from heedful.ledger import RunManifest, start_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from heedful.img2dataset._results import Summary

logger = logging.getLogger(__name__)

OPTIONS: Final[dict[str, tuple[Any, str]]] = {
    "token": (None, "The product token that robots.txt files know you by, such as PictureBot. Required."),
    "policy": ("standard", "A profile (standard, strict, letter, opt-in) or a TOML file."),
    "registries": ((), "Built registries, each a folder."),
    "ledger": (None, "The folder of the ledger, or its URL; None: `_heedful/ledger` in the output folder."),
    "ledger_stores": ("record", 'Whether stored pictures are recorded ("record") or only counted ("count").'),
    "cache": (None, "The folder of what a machine's crawls share; None: the user's cache folder."),
    "contact": (None, "A URL or address that site owners can turn to; it goes into the User-Agent."),
    "audit": (False, "Judge and record, but skip nothing; records say `enforced: false`."),
    "page_col": (None, "The column with the URLs of the pages on which the pictures were found."),
    "tag": (False, "Add the columns heedful_action, heedful_reason and heedful_id to the output."),
}
"""The keywords `heedful_...` of `download`, their defaults and meanings."""

PRIVATE: Final = "_heedful"
"""The folder of our own files in the output folder: one more `*.json` beside img2dataset's would break it."""

DISTRIBUTORS: Final = ("multiprocessing_distributor", "pyspark_distributor", "ray_distributor")

VERSIONS: Final = ((1, 46), (1, 48))
"""The versions of img2dataset, from the first up to but without the second, of which the seams are known."""

EXTRAS: Final = {"pyspark": "spark", "ray": "ray"}
"""The distributors that need a package of their name, and the extra of ours that brings it."""

_PYSPARK_PYTHON: Final = "PYSPARK_PYTHON"
_COLUMNLESS: Final = ("txt", "txt.gz")


class UnfinishedError(HeedfulError):
    """Shards that were not done, or whose ledger does not agree with them; `summary` has what there is."""

    def __init__(self, faults: list[str], summary: Summary) -> None:
        super().__init__(faults, summary)
        self.faults = faults
        self.summary = summary

    def __str__(self) -> str:
        return "\n".join([*self.faults, "Run the same command again: what is done is not done anew."])


def download(*args: Any, **kwargs: Any) -> Summary:
    """Download pictures as `img2dataset.download` does, but none whose owner opted out.

    Args:
        *args: as img2dataset's.
        **kwargs: as img2dataset's, and `OPTIONS`, each with `heedful_` before it.

    Returns:
        What was stored, skipped, deferred, and what failed.

    Raises:
        ConfigurationError: something given is wrong; nothing was fetched.
        UnfinishedError: some shards are not done.
        TypeError: img2dataset has no such argument.
    """
    _main.check_guard()
    own = {name: kwargs.pop(f"heedful_{name}", default) for name, (default, _) in OPTIONS.items()}
    unknown = [name for name in kwargs if name.startswith("heedful_")]
    for name in unknown:
        del kwargs[name]
    wrong = [_unknown(name) for name in unknown]
    with quiet_albumentations():
        module = img2dataset_main()
        bound = inspect.signature(module.download).bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        for name in ("url_list", "output_folder"):
            given[name] = _absolute(given[name])
        output = given["output_folder"]
        wrong += _lacking(given["distributor"])
        if own["page_col"] is not None:
            wrong += _add_page_column(given, own["page_col"])
        if own["tag"]:
            wrong += [
                f"heedful_tag: it adds {name}, which is among save_additional_columns already."
                for name in TAGS
                if name in (given["save_additional_columns"] or ())
            ]
        if given["disallowed_header_directives"] is None:
            given["disallowed_header_directives"] = []  # ours are read as they are meant
        run = _Run.of(own, given, wrong)
        try:
            with run.enforced(module):
                module.download(**given)
        except (ValueError, OSError) as error:
            if run.guard is not None:
                raise
            raise ConfigurationError(f"img2dataset: {_words(error)}") from error  # nothing has begun
    return run.finished(output)


@dataclass
class _Run:
    """One call of `download`."""

    configuration: Configuration
    given: dict[str, Any]
    version: str
    page_col: str | None
    tag: bool
    shards: list[int] = field(default_factory=list)
    guard: Guard | None = None
    manifest: RunManifest | None = None
    failure: BaseException | None = None

    @classmethod
    def of(cls, own: dict[str, Any], given: dict[str, Any], wrong: list[str]) -> _Run:
        tag, page_col = own.pop("tag"), own.pop("page_col")
        if own["ledger"] is None:
            own["ledger"] = f"{given['output_folder'].rstrip('/')}/{PRIVATE}/ledger"
        configuration = Configuration.check(
            **own, now=time.time(), called=lambda name: f"heedful_{name}", faults=wrong
        )
        return cls(configuration, given, metadata.version("img2dataset"), page_col, bool(tag))

    @contextmanager
    def enforced(self, module: ModuleType) -> Iterator[None]:
        """Have img2dataset's distributors hand out guarded downloaders, as long as this lasts."""
        before = set(multiprocessing.active_children())
        with ExitStack() as restored:
            restored.enter_context(_sigint_kept())
            # Spark's workers are to run this very Python, with all that is installed for it.
            restored.enter_context(environment(_PYSPARK_PYTHON, sys.executable))
            for name in DISTRIBUTORS:
                original = getattr(module, name)
                restored.callback(setattr, module, name, original)
                setattr(module, name, self._guarded(original, ahead=name == DISTRIBUTORS[0]))
            try:
                yield
            except SystemExit as stop:  # img2dataset's answer to Ctrl-C, which says that all is well
                raise KeyboardInterrupt from stop
            finally:
                # img2dataset's logger waits for a word that does not come after an error: for ever.
                for child in set(multiprocessing.active_children()) - before:
                    if isinstance(child, module.LoggerProcess):
                        child.terminate()
                        child.join()
        if self.failure is not None:
            raise self.failure

    def _guarded(self, original: Callable[..., None], *, ahead: bool) -> Callable[..., None]:
        def distributor(
            processes_count: int, downloader: Any, reader: Any, subjob_size: int, max_shard_retry: int
        ) -> None:
            # What is raised in here would leave img2dataset's logger waiting: it is raised later.
            output = self.given["output_folder"]
            try:
                self._check(reader)
                self.guard = self._prepared(processes_count, ahead=ahead)
                guarded = GuardedDownloader(downloader, self.guard)
                with ExitStack() as meanwhile:
                    width = self.given["oom_shard_count"]
                    meanwhile.enter_context(_results.progress(output, self.shards, width))
                    tell = meanwhile.enter_context(asking_ahead(self.guard)) if ahead else _nobody
                    shards = self._noted(reader, tell)
                    original(processes_count, guarded, shards, subjob_size, max_shard_retry)
            except Exception as error:  # noqa: BLE001 - raised by `enforced`
                self.failure = error

        return distributor

    def _check(self, reader: Any) -> None:
        try:
            faults = _lists.missing(reader)
        except Exception as error:
            raise self._unreadable(error) from error
        if faults:
            raise ConfigurationError(*faults)

    def _unreadable(self, error: Exception) -> ConfigurationError:
        list_, form = self.given["url_list"], self.given["input_format"]
        return ConfigurationError(f"{list_} cannot be read as {form}: {_words(error)}")

    def _prepared(self, processes: int, *, ahead: bool) -> Guard:
        configuration = self.configuration
        assert configuration.ledger is not None  # noqa: S101 - it was given a default
        run = start_run(configuration, crawler=f"img2dataset/{self.version}", now=time.time())
        # What keeps a worker from opening it is told before there are any.
        with RowEnforcer(configuration) as enforcer:
            try:
                self.manifest = RunManifest(
                    configuration.ledger,
                    run,
                    policy=configuration.policy,
                    registries=enforcer.gate.registries,
                    now=time.time(),
                )
            except LedgerError as error:
                raise ConfigurationError(str(error)) from error
        output = self.given["output_folder"].rstrip("/")
        private = f"{output}/{PRIVATE}"
        fs, temporary = fsspec.core.url_to_fs(f"{output}/_tmp")
        fs.makedirs(temporary, exist_ok=True)  # img2dataset removes it as well when it is to overwrite
        guard = Guard(
            configuration=configuration,
            run=run,
            ledger=configuration.ledger,
            dataset=_dataset(private),
            private=private,
            page_col=self.page_col,
            tag=self.tag,
            processes=processes,
            ahead=ahead,
        )
        unknown = _results.unrecorded(output, guard)
        if unknown:
            logger.warning(
                "%d shards that are done already have no ledger at %s: nothing is known of their pictures.",
                len(unknown),
                guard.ledger,
            )
        return guard

    def _noted(self, reader: Any, tell: Callable[[str], None]) -> Iterator[tuple[int, str]]:
        shards = iter(reader)
        while True:
            try:
                shard, path = next(shards)
            except StopIteration:
                return
            except Exception as error:
                raise self._unreadable(error) from error
            self.shards.append(shard)
            tell(path)
            yield shard, path

    def finished(self, output: str) -> Summary:
        """What came out.

        Raises:
            UnfinishedError: some shards are not done.
        """
        assert self.guard is not None  # noqa: S101 - img2dataset called its distributor
        assert self.manifest is not None  # noqa: S101 - as above
        summary, faults = _results.check(
            output, self.shards, self.given["oom_shard_count"], self.guard, self.manifest, time.time()
        )
        if faults:
            raise UnfinishedError(faults, summary)
        return summary


def _nobody(path: str) -> None:
    """Who asks ahead where workers do so themselves, as on other machines."""


def img2dataset_main() -> ModuleType:
    """The module `img2dataset.main`.

    Raises:
        ConfigurationError: it is not installed, or not in a version of which the seams are known.
    """
    try:
        # By this way, as the package has a function of the module's name.
        module = importlib.import_module("img2dataset.main")
    except ImportError as error:
        raise ConfigurationError(
            f"This needs {error.name or 'img2dataset'}: pip install 'heedful[img2dataset]'"
        ) from error
    version = metadata.version("img2dataset")
    first, end = VERSIONS
    if not first <= tuple(int(part) for part in version.split(".")[:2]) < end:
        raise ConfigurationError(
            f"img2dataset {version} is not known to this version of heedful, which could therefore miss "
            "pictures: pip install 'heedful[img2dataset]'"
        )
    return module


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"


def _unknown(name: str) -> str:
    close = get_close_matches(name, [f"heedful_{each}" for each in OPTIONS], n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"{name} is no option of this version of heedful.{hint}"


def _absolute(place: Any) -> Any:
    """A local path made absolute, which img2dataset leaves undone; what is no path is for it to refuse."""
    if not isinstance(place, (str, os.PathLike)):
        return place
    fs, path = fsspec.core.url_to_fs(os.fspath(place))
    return os.path.abspath(path) if isinstance(fs, LocalFileSystem) else os.fspath(place)  # noqa: PTH100


def _lacking(distributor: Any) -> list[str]:
    """What is missing for a distributor: img2dataset finds out late, or, for Ray, does nothing at all."""
    extra = EXTRAS.get(distributor)
    if extra is None or importlib.util.find_spec(distributor) is not None:
        return []
    return [f"The distributor {distributor} needs {distributor}: pip install 'heedful[{extra}]'"]


def _add_page_column(given: dict[str, Any], column: str) -> list[str]:
    """Have img2dataset read one column more."""
    if given["input_format"] in _COLUMNLESS:
        return [f"heedful_page_col: input_format {given['input_format']} has no columns, so no {column!r}."]
    columns = list(given["save_additional_columns"] or ())
    given["save_additional_columns"] = columns if column in columns else [*columns, column]
    return []


def _dataset(private: str) -> str:
    """The dataset's name in ledgers: as long as it is added to, the same."""
    fs, folder = fsspec.core.url_to_fs(private)
    fs.makedirs(folder, exist_ok=True)
    path = f"{folder}/dataset"
    if not fs.exists(path):
        fs.pipe_file(path, f"img2dataset-{secrets.token_hex(4)}".encode())
    name: bytes = fs.cat_file(path)
    return name.decode()


@contextmanager
def _sigint_kept() -> Iterator[None]:
    """Take back the handler that img2dataset leaves behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
