"""Whether a list has the columns that are asked for: img2dataset tries for minutes before it says no."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_DELIMITERS: Final = {"csv": ",", "tsv": "\t"}


def missing(reader: Any) -> list[str]:
    """What is wrong with the first file of a list, a sentence for each column that it lacks.

    Args:
        reader: img2dataset's. Lists that do not tell their columns in their head are left to it.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    if reader.input_format.removesuffix(".gz") not in {*_DELIMITERS, "parquet"}:
        return []
    names = _names(reader.fs, reader.input_files[0], reader.input_format)
    asked = [
        reader.url_col,
        reader.caption_col,
        reader.verify_hash_col,
        *(reader.save_additional_columns or ()),
    ]
    return [_told(column, names, reader.input_files[0]) for column in asked if column and column not in names]


def _names(fs: Any, path: str, form: str) -> Sequence[str]:
    """The columns of a file whose head has them."""
    import pyarrow.csv  # noqa: PLC0415 - img2dataset brings it
    import pyarrow.parquet  # noqa: PLC0415

    form, _, compressed = form.partition(".")
    with fs.open(path, "rb", compression="gzip" if compressed else None) as file:
        if form == "parquet":
            names: Sequence[str] = pyarrow.parquet.read_schema(file).names
        else:
            options = pyarrow.csv.ParseOptions(delimiter=_DELIMITERS[form])
            names = pyarrow.csv.open_csv(file, parse_options=options).schema.names
    return names


def _told(column: str, names: Sequence[str], path: str) -> str:
    close = get_close_matches(column, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else f" Its columns are {', '.join(map(repr, names))}."
    return f"{path} has no column {column!r}.{hint}"
