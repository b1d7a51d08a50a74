"""A Scrapy extension for tests of crashes: its process kills itself in the middle of a crawl."""

from __future__ import annotations

import os
import signal

from scrapy import signals


class Killer:
    """Kills the process once a request after so many others has come to its end."""

    def __init__(self, crawler):
        self._left = crawler.settings.getint("KILLED_AFTER")
        self._stats = crawler.stats
        crawler.signals.connect(self._look, signals.response_received)

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    def _look(self):
        if self._stats.get_value("heedful/store", 0) >= self._left:
            os.kill(os.getpid(), signal.SIGKILL)
