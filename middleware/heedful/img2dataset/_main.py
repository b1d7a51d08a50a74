"""The trap of a script without a guard: each worker that is spawned runs it again, without end."""

from __future__ import annotations

import ast
import multiprocessing
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heedful.errors import ConfigurationError

if TYPE_CHECKING:
    from types import FrameType

GUARD: Final = (
    "img2dataset starts processes that read {} again: put what calls download below "
    "`if __name__ == '__main__':`, or each of them would start a download of its own, without end."
)


def check_guard() -> None:
    """See to it that the main script does not call us anew in each process that is spawned.

    Raises:
        ConfigurationError: it does, or would.
    """
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    name = Path(file).name if file else "the script"
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ConfigurationError(GUARD.format(name))
    frame = _running(main)
    if frame is not None and file and not _guarded(Path(file), frame.f_lineno):
        raise ConfigurationError(GUARD.format(name))


def _running(main: object) -> FrameType | None:
    """The main script's own frame, if this was called from it."""
    frame = sys._getframe()  # noqa: SLF001 - there is no other way to one's callers
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals is getattr(main, "__dict__", None):
            return frame
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _guarded(script: Path, line: int) -> bool:
    """Whether a line of a script stands below a condition on `__name__`; if that cannot be told, it does."""
    try:
        tree = ast.parse(script.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError):
        return True
    return any(
        isinstance(node, ast.If)
        and node.lineno <= line <= (node.end_lineno or node.lineno)
        and any(isinstance(each, ast.Name) and each.id == "__name__" for each in ast.walk(node.test))
        for node in ast.walk(tree)
    )
