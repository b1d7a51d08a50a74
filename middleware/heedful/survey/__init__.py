"""Which opt-out signals sites send: rows of what their origin files say, totals, and a page to show them."""
