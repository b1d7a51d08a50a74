"""The lock that lets one writer at a time change a registry.

It is the system's own lock on an open file, so that it ends with the process that holds it, however it ends.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from heedful.registry._errors import RegistryError

if TYPE_CHECKING:
    from pathlib import Path

LOCK: Final = "LOCK"
"""The file that is locked; it stays empty, and readers never open it."""

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    _TAKEN: Final = {errno.EACCES, errno.EDEADLK}

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    def _unlock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    _TAKEN: Final = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK}

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)  # a forked child may still have the file open


class Lock:
    """Holds the lock of the registry in `folder`, which exists.

    Raises:
        RegistryError: another process, or writer of this one, holds it, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._handle = self._take()
        while not self._is_in_place():  # its last holder has removed it
            os.close(self._handle)
            self._handle = self._take()

    def _take(self) -> int:
        folder = self._path.parent
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise RegistryError(f"{folder} cannot be changed: {error.strerror}.") from error
        try:
            _lock(handle)
        except OSError as error:
            os.close(handle)
            if error.errno in _TAKEN:
                raise RegistryError(f"{folder} cannot be changed: another process is changing it.") from error
            raise RegistryError(f"{folder} cannot be changed: no lock: {error.strerror}.") from error
        return handle

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._handle), self._path.stat())
        except FileNotFoundError:
            return False

    def release(self, *, remove: bool = False) -> None:
        """Let others have it.

        Args:
            remove: remove the file as well.
        """
        if remove:
            with suppress(OSError):  # Windows removes no open file
                self._path.unlink()
        _unlock(self._handle)
        os.close(self._handle)
