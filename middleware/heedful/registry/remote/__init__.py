"""Remote registries: asked over HTTP whether URLs are opted out, because their list is not to be had.

A table `[[remote]]` of a policy names one (`RemoteConfig`); `RemoteRegistry` asks it; `statement` says what
its answer is worth. What is not answered is never taken for a consent.
"""

from heedful.registry.remote._answers import Answer, Unanswered, statement
from heedful.registry.remote._client import RemoteRegistry
from heedful.registry.remote._config import RemoteConfig, read_remote

__all__ = ["Answer", "RemoteConfig", "RemoteRegistry", "Unanswered", "read_remote", "statement"]
