"""Fact sheets as books; the last ones are kept, since reports on one company often come together."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any

from reward_model.calc.book import Book, Facts, fact_book
from reward_model.calc.rules import Rules

MOST_SHEETS = 8
"""Sheets that are kept."""
MOST_VALUES = 50_000
"""Values that a kept book may have computed; one with more is built anew."""

_books: OrderedDict[tuple[Any, ...], Book] = OrderedDict()
_lock = Lock()


def book_of(facts: Facts, rules: Rules, *, exact: bool = False) -> Book:
    """:func:`reward_model.calc.book.fact_book`, kept by what the sheet says.

    Args:
        facts: the sheet; it may change between calls.
        rules: metrics.
        exact: take the values as they are written.
    """
    items = tuple((name, tuple(row)) for name, row in facts.items.items())
    key = (id(rules), exact, facts.unit, tuple(facts.periods), items)
    with _lock:
        book = _books.get(key)
        if book is not None and book.rules is rules and len(book.computed) <= MOST_VALUES:
            _books.move_to_end(key)
            return book
        book = _books[key] = fact_book(facts, rules, exact=exact)
        _books.move_to_end(key)
        while len(_books) > MOST_SHEETS:
            _books.popitem(last=False)
        return book
