"""What those share who have work done by several processes."""

from __future__ import annotations

import os
import signal


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ignore_interrupts() -> None:
    """In a process that is stopped by the one which has begun it: leave Ctrl-C to that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
