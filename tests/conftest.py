from __future__ import annotations

from hypothesis import settings

# The machine's speed is not what is tested.
settings.register_profile("heedful", deadline=None, derandomize=True)
settings.load_profile("heedful")
