from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import settings

# The machine's speed is not what is tested.
settings.register_profile("heedful", deadline=None, derandomize=True)
settings.load_profile("heedful")


@pytest.fixture
def heedful():
    """Run the real program; its output and exit code."""

    def run(*args, cwd=None, **environment):
        return subprocess.run(
            [sys.executable, "-m", "heedful.cli", *map(str, args)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=cwd,
            env={**os.environ, "COLUMNS": "100", **environment},
        )

    return run
