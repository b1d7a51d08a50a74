"""What is raised when a registry cannot be relied upon."""

from __future__ import annotations

from heedful.errors import ConfigurationError


class RegistryError(ConfigurationError):
    """A registry is missing, damaged, truncated, expired, wrongly signed, or cannot be written."""
