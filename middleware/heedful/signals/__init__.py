"""The opt-out signals, one module a protocol: raw text in, statements and warnings out.

Every parser is pure (no socket, file, clock or log) and total (any input gives a `Reading`, no exception).
"""
