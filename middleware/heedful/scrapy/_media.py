"""Media pipelines: their requests are for pictures, and a file they have already is judged all the same."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from scrapy.pipelines.media import MediaPipeline
from scrapy.utils.defer import ensure_awaitable

from heedful.model import Action, Stage

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler

    from heedful.scrapy._enforcer import Enforcer


PICTURE: Final = "heedful_picture"
"""Request meta key: this request is for a picture (media pipelines' requests are marked by themselves)."""


def wrap_media_pipelines(crawler: Crawler, enforcer: Enforcer) -> None:
    """Let `enforcer` see what the crawler's media pipelines are about to do."""
    engine = crawler.engine
    assert engine is not None  # noqa: S101
    for pipeline in engine.scraper.itemproc.middlewares:
        if isinstance(pipeline, MediaPipeline):
            _wrap(pipeline, enforcer)


def _wrap(pipeline: MediaPipeline, enforcer: Enforcer) -> None:
    media_to_download = pipeline.media_to_download

    @functools.wraps(media_to_download)
    async def judged_first(request: Request, info: MediaPipeline.SpiderInfo, *, item: Any = None) -> Any:
        request.meta[PICTURE] = True
        verdict = await enforcer.judge(request.url, None, Stage.ORIGIN)
        if verdict.action is not Action.STORE and not enforcer.options.audit:
            return None  # "not there yet": the request is made, and refused where every request is
        return await ensure_awaitable(media_to_download(request, info, item=item))

    pipeline.media_to_download = judged_first  # type: ignore[method-assign,assignment]
