"""Lists of URLs: opted-out rows are dropped, or tagged."""

from heedful.bulk.filter._filter import ENGINES, Summary, filter_urls
from heedful.bulk.filter._local import Step, UnfinishedError
from heedful.bulk.filter._task import TAGS, Counts

__all__ = ["ENGINES", "TAGS", "Counts", "Step", "Summary", "UnfinishedError", "filter_urls"]
