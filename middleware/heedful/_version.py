"""The version, apart: the package's own modules need it while the package is still being imported."""

__version__ = "0.1.0"
