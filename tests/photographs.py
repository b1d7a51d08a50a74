"""Pictures in colour that are like no other, for the tests of their fingerprints."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def photograph(seed, size=(640, 480)):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize(size)


def saved(image, kind="JPEG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
