"""Media pipelines: their requests are for pictures, and a file they have already is judged all the same."""

from __future__ import annotations

import functools
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import scrapy
from itemadapter import ItemAdapter
from scrapy.pipelines.media import MediaPipeline
from scrapy.utils.defer import ensure_awaitable
from scrapy.utils.misc import arg_to_iter

from heedful.errors import OptedOut
from heedful.model import Action, Stage
from heedful.scrapy._pages import pin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy import Request
    from scrapy.crawler import Crawler

    from heedful.scrapy._enforcer import Enforcer


PICTURE: Final = "heedful_picture"
"""Request meta key: this request is for a picture (media pipelines' requests are marked by themselves)."""


SKIPPED: Final = "heedful_skipped"
"""Item field: the pictures that were refused, each with its URL, action, reason and reasons.

Dicts get it; items with declared fields only if they declare it.
"""


QUIET: Final = scrapy.version_info >= (2, 18)
"""Media pipelines log a refused request at DEBUG; earlier versions of Scrapy log an error and a traceback."""


def _refusal(error: BaseException | None) -> OptedOut | None:
    """Our refusal, if it is what an exception came from."""
    while error is not None and not isinstance(error, OptedOut):
        error = error.__cause__ or error.__context__
    return error


class _Refusals(logging.Filter):
    """Keeps records out of the log that only say that a picture was refused: the ledger says it better."""

    def filter(self, record: logging.LogRecord) -> bool:
        return _refusal(record.exc_info[1] if record.exc_info else None) is None


_REFUSALS: Final = _Refusals()


def wrap_media_pipelines(crawler: Crawler, enforcer: Enforcer) -> None:
    """Let `enforcer` see what the crawler's media pipelines are about to do."""
    if not QUIET:
        logging.getLogger("scrapy.pipelines.media").addFilter(_REFUSALS)
    engine = crawler.engine
    assert engine is not None  # noqa: S101
    for pipeline in engine.scraper.itemproc.middlewares:
        if isinstance(pipeline, MediaPipeline):
            _wrap(pipeline, enforcer)


def _wrap(pipeline: MediaPipeline, enforcer: Enforcer) -> None:
    media_to_download, get_media_requests = pipeline.media_to_download, pipeline.get_media_requests
    item_completed = pipeline.item_completed

    @functools.wraps(get_media_requests)
    def pinned(item: Any, info: MediaPipeline.SpiderInfo) -> list[Request]:
        return pin(arg_to_iter(get_media_requests(item, info)))

    @functools.wraps(media_to_download)
    async def judged_first(request: Request, info: MediaPipeline.SpiderInfo, *, item: Any = None) -> Any:
        request.meta[PICTURE] = True
        verdict = await enforcer.judge(request, Stage.ORIGIN, again=True)
        if verdict.action is not Action.STORE and not enforcer.options.audit:
            return None  # "not there yet": the request is made, and refused where every request is
        return await ensure_awaitable(media_to_download(request, info, item=item))

    @functools.wraps(item_completed)
    def completed(results: Any, item: Any, info: MediaPipeline.SpiderInfo) -> Any:
        item = item_completed(results, item, info)
        _tell(item, results)
        return item

    pipeline.get_media_requests = pinned  # type: ignore[method-assign]
    pipeline.media_to_download = judged_first  # type: ignore[method-assign,assignment]
    pipeline.item_completed = completed  # type: ignore[method-assign]


def _tell(item: Any, results: Iterable[tuple[bool, Any]]) -> None:
    """Note on an item which of its pictures were refused, so that none of them vanishes silently."""
    refusals = [_refusal(result.value) for stored, result in results if not stored]
    skipped = [_words(refusal) for refusal in refusals if refusal is not None]
    if skipped and ItemAdapter.is_item(item):
        adapter = ItemAdapter(item)
        with suppress(KeyError):  # an item with declared fields that does not declare it
            adapter[SKIPPED] = [*adapter.get(SKIPPED, ()), *skipped]


def _words(refusal: OptedOut) -> dict[str, Any]:
    verdict = refusal.verdict
    return {
        "url": verdict.url,
        "action": verdict.action.value,
        "reason": verdict.reason.value if verdict.reason else None,
        "reasons": [reason.value for reason in verdict.reasons],
    }
