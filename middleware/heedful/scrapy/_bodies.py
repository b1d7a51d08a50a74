"""The pictures' own bytes, as they are judged: once for each response, decoded, before any re-encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware

from heedful.body import Body

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response


class Bodies:
    """The bodies of responses, remembered as long as these live."""

    def __init__(self, crawler: Crawler) -> None:
        self._known: WeakKeyDictionary[Response, Body] = WeakKeyDictionary()
        self._decoder = HttpCompressionMiddleware(crawler=crawler)
        self._decoder.stats = None  # it is not the crawl's own decoding that would be counted

    def of(self, request: Request, response: Response) -> Body:
        """The body of a response, its content encoding undone.

        Raises:
            ValueError: its content encoding is not known, and it is no picture without it.
        """
        known = self._known.get(response)
        if known is None:
            known = self._known[response] = self._decoded(request, response)
        return known

    def _decoded(self, request: Request, response: Response) -> Body:
        if not response.headers.get("Content-Encoding"):
            return Body(response.body)
        # A copy: the middleware writes to the headers of what it is given.
        decoded = self._decoder.process_response(request, response.copy())
        body = Body(decoded.body)
        if decoded.headers.get("Content-Encoding") and body.media_type is None:
            raise ValueError("the body's content encoding is not known")
        return body
