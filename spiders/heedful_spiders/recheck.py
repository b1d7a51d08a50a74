"""Asks for stored pictures' URLs again, for changes of mind: nothing is stored, no body is read.

The add-on judges each URL as it would before storing it, by today's registries, origin files and headers,
and writes the verdict to a ledger. Pictures are asked for by HEAD; where that is refused, by GET, of which
only the headers are read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import can_ada
import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy.exceptions import CloseSpider, IgnoreRequest
from scrapy.settings import Settings
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.internet.defer import Deferred

from heedful.changes import GONE
from heedful.configuration import Configuration
from heedful.errors import ConfigurationError, HeedfulError
from heedful.ledger import LedgerReader
from heedful.ledger.writer import absolute
from heedful.scrapy._enforcer import HEADERS_ONLY, LISTED
from heedful.scrapy._media import PICTURE
from heedful_spiders._queue import Queue, State, waiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping

    from scrapy.http import Request, Response
    from twisted.python.failure import Failure

WORK: Final = "_recheck"
"""Folder in the ledger: what a recheck that is taken up again must know, its origin files, and its log."""

ABOUT: Final = "about.json"
"""In `WORK`: under what the recheck was begun."""

LOG: Final = "crawl.log"

_URLS: Final = "urls.sqlite"

IN_FLIGHT_MAX: Final = 1_000
"""URLs that were handed out and are not yet decided: enough to have several hosts to turn to."""

REPORT_EVERY: Final = 0.5
"""Seconds between two reports of where it stands."""

GONE_STAT: Final = "heedful_spiders/gone"
"""The stat that counts them."""

DECIDED_STAT: Final = "heedful_spiders/decided"
"""The stat that counts the URLs that something became of."""

_TOO_MANY: Final = frozenset({429, 503})
"""Statuses that ask for fewer requests: no other method is tried."""

GET_INSTEAD_ORDER: Final = 700
"""Nearer to the network than redirects and retries, farther than the guard, which judges what HEAD brings."""

SETTINGS: Final[Mapping[str, Any]] = {
    "ITEM_PIPELINES": {},
    "DOWNLOADER_MIDDLEWARES": {"heedful_spiders.recheck.GetInstead": GET_INSTEAD_ORDER},
    "CONCURRENT_REQUESTS": 64,  # one host's pictures are spread over the run: there are many hosts at a time
    "DOWNLOAD_TIMEOUT": 30,
    "DOWNLOAD_MAXSIZE": 256 * 2**20,
    "RETRY_TIMES": 1,
    "METAREFRESH_ENABLED": False,
    "REMOTE_CONTROL_ENABLED": False,
    "REFERRER_POLICY": "no-referrer",
    "URLLENGTH_LIMIT": 0,  # those of what is judged are set elsewhere
    "HTTPCACHE_ENABLED": False,
    "LOG_LEVEL": "INFO",
}
"""What differs from the settings of `heedful crawl`."""


class RecheckError(HeedfulError):
    """The process that asks has crashed."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Where a recheck stands.

    Attributes:
        listed: different URLs that were given.
        decided_before: those of them that the ledger had already.
        unaskable: those that are no http(s) URLs.
        free: nobody has opted out.
        skipped: opted out, by reason.
        deferred: could not be determined, by reason.
        gone: there is no such picture any more.
        failed: could not be asked for, for another reason.
        finish_reason: `finished`; another: there is something left to be asked; None: it is running.
    """

    listed: int = 0
    decided_before: int = 0
    unaskable: int = 0
    free: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    deferred: Mapping[str, int] = field(default_factory=dict)
    gone: int = 0
    failed: int = 0
    finish_reason: str | None = None

    @classmethod
    def of(cls, stats: Mapping[str, Any]) -> Counts:
        """The counts in a crawl's stats."""

        def by_reason(action: str) -> dict[str, int]:
            prefix = f"heedful/{action}/"
            return {key[len(prefix) :]: n for key, n in sorted(stats.items()) if key.startswith(prefix)}

        gone = stats.get(GONE_STAT, 0)
        return cls(
            free=stats.get("heedful/store", 0),
            skipped=by_reason("skip"),
            deferred=by_reason("defer"),
            gone=gone,
            failed=stats.get("heedful/failed", 0) - gone,
            finish_reason=stats.get("finish_reason"),
        )

    @property
    def to_ask(self) -> int:
        """URLs that this run is to ask for."""
        return self.listed - self.decided_before - self.unaskable

    @property
    def decided(self) -> int:
        """URLs that something became of in this run."""
        return self.free + sum(self.skipped.values()) + sum(self.deferred.values()) + self.gone + self.failed


# -- the spider ------------------------------------------------------------------------------------------


class RecheckSpider(scrapy.Spider):
    """Asks for each URL once.

    Args:
        urls: http(s) URLs; read as they are needed.
        method: `HEAD`, or `GET`.
        read_bytes: read the pictures.
        report: told now and then how it goes; an OSError that it raises ends the crawl.
    """

    name = "recheck"

    def __init__(
        self,
        urls: Iterable[str],
        method: str = "HEAD",
        read_bytes: bool = False,  # noqa: FBT001, FBT002 - an argument of spiders
        report: Callable[[], None] = lambda: None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._urls = urls
        self._method = "GET" if read_bytes else method
        self._meta = {PICTURE: True} if read_bytes else {PICTURE: True, HEADERS_ONLY: True}
        self._report = report
        self._in_flight = 0
        self._room: Deferred[None] | None = None

    async def start(self) -> AsyncIterator[Request]:
        """Ask for as many as there is room for."""
        for url in self._urls:
            if self._in_flight >= IN_FLIGHT_MAX:
                self._room = Deferred()
                await maybe_deferred_to_future(self._room)
            self._in_flight += 1
            yield self._request(url)

    def _request(self, url: str) -> Request:
        parsed = can_ada.parse(url)  # Scrapy's own reading of odd URLs is another than browsers'
        parsed.hash = ""
        request = scrapy.Request(
            str(parsed.href),
            callback=self.heard,
            errback=self.refused,
            method=self._method,
            meta=dict(self._meta),
            dont_filter=True,
        )
        if request.url != url:
            request.meta[LISTED] = url
        return request

    def heard(self, response: Response) -> None:
        """Something was answered, and is not opted out."""
        self._decided(gone=response.status in GONE)

    def refused(self, failure: Failure) -> None:
        """It is opted out, deferred, or could not be asked for."""
        response = getattr(failure.value, "response", None)  # of an HttpError
        self._decided(gone=getattr(response, "status", None) in GONE)

    def _decided(self, *, gone: bool) -> None:
        stats = self.crawler.stats
        assert stats is not None  # noqa: S101
        stats.inc_value(DECIDED_STAT)
        if gone:
            stats.inc_value(GONE_STAT)
        self._in_flight -= 1
        if self._room is not None:
            room, self._room = self._room, None
            room.callback(None)
        try:
            self._report()
        except OSError as error:  # whoever has begun this is gone
            raise CloseSpider("shutdown") from error


class GetInstead:
    """A downloader middleware: asks by GET for what HEAD did not bring.

    Many servers do not know HEAD, refuse it (403, 405, 501), or drop it; others say 404 to it. What it does
    bring counts: RFC 9110, section 9.3.2, has the same header fields sent as with GET.
    """

    def process_response(self, request: Request, response: Response) -> Request | Response:
        """Ask again, unless it was a success, a redirect, or a request for fewer requests."""
        if request.method == "HEAD" and response.status >= 400 and response.status not in _TOO_MANY:
            return request.replace(method="GET")
        return response

    def process_exception(self, request: Request, exception: Exception) -> Request | None:
        """Ask again, unless it was refused."""
        if request.method == "HEAD" and not isinstance(exception, IgnoreRequest):
            return request.replace(method="GET")
        return None


# -- a recheck, from any program -------------------------------------------------------------------------


def recheck(
    urls: Iterable[str],
    *,
    token: str,
    ledger: str | Path,
    policy: str | Path = "standard",
    registries: Iterable[str | Path] = (),
    contact: str | None = None,
    cache: str | Path | None = None,
    read_bytes: bool = False,
    method: str = "HEAD",
    scrapy: Mapping[str, Any] | None = None,
    progress: Callable[[Counts], None] = lambda _: None,
) -> Counts:
    """Judge URLs by today's signals, in a process of its own.

    When it returns, the ledger has a record for each URL that can be asked for: `store` (free), `skip`,
    `defer` or `failed`, with the evidence; `hop_of`, or else `url`, is the URL as it was given. A run that
    was killed is taken up again with the same arguments: what the ledger has is not asked for a second time.
    The URLs are kept on disk, not in memory.

    Args:
        urls: any strings; each different one is asked for once.
        token: the product token.
        ledger: a folder of this machine for this recheck alone.
        policy: a profile's name or a TOML file.
        registries: folders of built registries.
        contact: where site owners can turn to.
        cache: the folder of origin files; None: one in the ledger's folder, so that all are asked for anew.
        read_bytes: read the pictures, for what they say themselves and for registries of files.
        method: `HEAD`, or `GET` to trust no answer to HEAD.
        scrapy: further Scrapy settings.
        progress: told the counts now and then; what it raises ends the run.

    Returns:
        What became of the URLs in this run.

    Raises:
        ConfigurationError: a setting is wrong, or the ledger is another's; nothing was asked for.
        LedgerError: the ledger cannot be read.
        RecheckError: the process that asks has crashed; its log is in the ledger's folder.
    """
    folder = Path(absolute(ledger))
    faults = [] if "://" not in str(ledger) else [f"The ledger {ledger} must be a folder of this machine."]
    configuration = Configuration.check(
        token=token,
        policy=policy,
        registries=registries,
        ledger=ledger,
        contact=contact,
        cache=cache,
        now=time.time(),
        faults=faults,
    )
    if configuration.policy.regime == "opt-in" and not read_bytes:
        raise ConfigurationError(
            f"Under the policy {configuration.policy.name}, silence counts once all was heard: the pictures "
            "must be read, too."
        )
    work = folder / WORK
    about = {
        "token": configuration.token,
        "policy": configuration.policy.hash,
        "read_bytes": read_bytes,
    }
    _take_up(folder, work, about)
    with Queue(work / _URLS) as queue:
        before = _fill(queue, folder, urls)
    settings = {
        "HEEDFUL_TOKEN": configuration.token,
        "HEEDFUL_CONTACT": contact,
        "HEEDFUL_POLICY": str(policy),
        "HEEDFUL_REGISTRIES": list(configuration.registries),
        "HEEDFUL_LEDGER": str(folder),
        "HEEDFUL_CACHE": str(work if cache is None else configuration.cache),
        "LOG_FILE": str(work / LOG),
        **(scrapy or {}),
    }
    job = {"urls": str(work / _URLS), "method": method, "read_bytes": read_bytes, "settings": settings}

    def merged(counts: Counts) -> Counts:
        return replace(
            counts,
            listed=before.listed,
            decided_before=before.decided_before,
            unaskable=before.unaskable,
        )

    progress(before)
    if not before.to_ask:
        return replace(before, finish_reason="finished")
    try:
        return merged(_run(job, lambda counts: progress(merged(counts))))
    finally:
        (work / _URLS).unlink(missing_ok=True)


def _take_up(folder: Path, work: Path, about: Mapping[str, Any]) -> None:
    """Begin a recheck in a folder, or go on with the one that is there.

    Raises:
        ConfigurationError: it cannot be.
    """
    path = work / ABOUT
    try:
        if path.exists():
            known = json.loads(path.read_bytes())
            if known != about:
                raise ConfigurationError(
                    f"The recheck in {folder} was begun with another token, policy or reading of bytes: give "
                    "each its own ledger."
                )
            return
        if any(folder.glob("*.jsonl")):
            raise ConfigurationError(
                f"{folder} is the ledger of something else: give the recheck one of its own."
            )
        work.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(about) + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The ledger {folder} cannot be used: {error}.") from error


def _fill(queue: Queue, folder: Path, urls: Iterable[str]) -> Counts:
    """Put what is to be asked for into the queue."""
    queue.decided(_known(folder))
    queue.put(urls)
    count = queue.count()
    return Counts(
        listed=sum(count.values()) - count[State.DECIDED],
        decided_before=count[State.DECIDED_BEFORE],
        unaskable=count[State.UNASKABLE],
    )


def _known(folder: Path) -> Iterator[str]:
    """The URLs that the ledger has, as they were given."""
    if any(folder.glob("*.jsonl")):
        for record in LedgerReader(str(folder)):
            yield record.hop_of or record.url


def _run(job: Mapping[str, Any], progress: Callable[[Counts], None]) -> Counts:
    """Have a child do it, and listen."""
    command = [sys.executable, "-m", "heedful_spiders.recheck"]
    counts = Counts()
    # A session of its own: it is this process that ends it when the terminal's user interrupts both.
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        assert child.stdin is not None and child.stdout is not None  # noqa: S101, PT018
        try:
            with child.stdin as stdin:
                stdin.write(json.dumps(job).encode() + b"\n")
            for line in child.stdout:
                told = json.loads(line)
                if faults := told.get("faults"):
                    raise ConfigurationError(*faults)
                counts = Counts(**told)
                progress(counts)
        except BaseException:
            child.stdout.close()
            child.terminate()
            child.wait()
            raise
    if child.returncode or counts.finish_reason is None:
        log = job["settings"].get("LOG_FILE")
        raise RecheckError(f"The process that asks has ended with code {child.returncode}: see {log}.")
    return counts


# -- the child -------------------------------------------------------------------------------------------


def main() -> None:
    """Do the job that standard input tells; standard output tells how it goes, a JSON object a line."""
    job = json.loads(sys.stdin.readline())
    settings = Settings()
    settings.setmodule("heedful_settings.scrapy_default", priority="project")
    settings.setdict({**SETTINGS, **job["settings"]}, priority="cmdline")
    process = CrawlerProcess(settings)
    crawler = process.create_crawler(RecheckSpider)
    failures: list[BaseException] = []
    told = 0.0

    def tell() -> None:
        assert crawler.stats is not None  # noqa: S101
        _say(asdict(Counts.of(crawler.stats.get_stats())))

    def report() -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= REPORT_EVERY:
            told = now
            tell()

    def failed(failure: Failure) -> None:
        assert failure.value is not None  # noqa: S101
        failures.append(failure.value)

    with closing(waiting(Path(job["urls"]))) as urls:
        started = process.crawl(
            crawler, urls=urls, method=job["method"], read_bytes=job["read_bytes"], report=report
        )
        started.addErrback(failed)
        process.start()
    if not failures:
        with suppress(BrokenPipeError):
            tell()
    elif isinstance(failures[0], ConfigurationError):
        _say({"faults": failures[0].faults})
    else:
        raise failures[0]


def _say(told: Mapping[str, Any]) -> None:
    # Past Python's buffer, which would be written once more, and in vain, at the end.
    os.write(sys.stdout.fileno(), json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    main()
