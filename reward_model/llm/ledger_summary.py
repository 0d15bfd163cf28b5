"""What a ledger tells: money, tokens, failures by class, limits learnt; and its rows for other programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reward_model.errors import InputError
from reward_model.jsonl import one_line
from reward_model.llm.ledger import Ledger, unpacked
from reward_model.llm.outcome import ANSWERS, UNKNOWN_COST, read_answer

_ANSWERED = ",".join(f"'{kind}'" for kind in sorted(ANSWERS))
_UNKNOWN = ",".join(f"'{kind}'" for kind in sorted({*UNKNOWN_COST, "sent"}))
_USED = "(kind = 'ok' AND verdict IS NULL)"
_SUMS = f"""
  COUNT(*) AS calls,
  COALESCE(SUM({_USED}), 0) AS used,
  COALESCE(SUM(kind = 'sent'), 0) AS in_flight,
  COALESCE(SUM(prompt_tokens), 0) AS prompt_tokens,
  COALESCE(SUM(completion_tokens), 0) AS completion_tokens,
  COALESCE(SUM(CASE WHEN {_USED} THEN 0
    ELSE COALESCE(prompt_tokens, 0) + COALESCE(completion_tokens, 0) END), 0) AS unused_tokens,
  SUM(cost) AS cost,
  SUM(CASE WHEN kind IN ({_UNKNOWN}) THEN 1 ELSE 0 END) AS perhaps_billed,
  SUM(CASE WHEN kind IN ({_UNKNOWN}) AND cost IS NULL THEN reserved END) AS perhaps_cost"""
_NAMES = (
    "calls",
    "used",
    "in_flight",
    "prompt_tokens",
    "completion_tokens",
    "unused_tokens",
    "cost",
    "perhaps_billed",
    "perhaps_cost",
)


def summarize(ledger: Ledger) -> dict[str, Any]:
    """All that ``finrm ledger`` shows, as plain data.

    ``requests`` and those ``answered``: what was asked, the repairs of a request counted with it.
    ``totals`` and each of ``by_purpose`` (purpose and model) hold ``calls`` (attempts), ``used`` (answers
    that were of use), ``in_flight``, ``prompt_tokens`` and ``completion_tokens`` (as the endpoints count
    them, failed attempts included), ``unused_tokens`` (of attempts that gave nothing of use), ``cost``
    (null: no price was given), ``perhaps_billed`` (attempts whose answer didn't arrive whole) and
    ``perhaps_cost`` (their worst case). ``failures``: classes with ``count``, ``tokens`` and the commonest
    ``example``. ``endpoints``: with ``mode`` (the answer format it takes) and ``limits`` (learnt).

    Raises:
        InputError: the file is damaged.
    """
    query = f"SELECT {_SUMS} FROM attempts"
    totals = dict(zip(_NAMES, ledger.rows(query)[0], strict=True))
    by_purpose = [
        {"purpose": purpose, "model": model, **dict(zip(_NAMES, sums, strict=True))}
        for purpose, model, *sums in ledger.rows(
            f"SELECT purpose, model, {_SUMS} FROM attempts "
            "JOIN endpoints ON endpoints.id = attempts.endpoint "
            "GROUP BY purpose, model ORDER BY MIN(attempts.id)"
        )
    ]
    requests, answered = ledger.rows(
        f"SELECT COUNT(*), SUM(good) FROM (SELECT MAX({_USED}) AS good FROM attempts GROUP BY item)"
    )[0]
    first, last = ledger.rows("SELECT MIN(started), MAX(started + COALESCE(seconds, 0)) FROM attempts")[0]
    return {
        "file": str(ledger.path),
        "first": first,
        "last": last,
        "requests": requests,
        "answered": answered or 0,
        "totals": totals,
        "by_purpose": by_purpose,
        "failures": _failures(ledger),
        "endpoints": [
            {
                "base_url": identity,
                "model": model,
                "mode": mode,
                "limits": ledger.endpoint(identity, model)[2],
            }
            for identity, model, mode in ledger.rows(
                "SELECT identity, model, mode FROM endpoints ORDER BY id"
            )
        ],
    }


def _failures(ledger: Ledger) -> list[dict[str, Any]]:
    return [
        {
            "class": kind,
            "model": model,
            "count": count,
            "tokens": tokens,
            "example": one_line(example or "", 200),
        }
        for kind, model, count, tokens, example in ledger.rows(
            "SELECT class, model, SUM(n), SUM(tokens), fingerprint FROM ("
            "SELECT COALESCE(verdict, kind) AS class, model, fingerprint, COUNT(*) AS n, "
            "SUM(COALESCE(prompt_tokens, 0) + COALESCE(completion_tokens, 0)) AS tokens "
            "FROM attempts JOIN endpoints ON endpoints.id = attempts.endpoint "
            f"WHERE NOT {_USED} AND kind != 'sent' GROUP BY class, model, fingerprint ORDER BY n DESC) "
            "GROUP BY class, model ORDER BY SUM(n) DESC, class"
        )
    ]


def unanswered(ledger: Ledger) -> list[dict[str, Any]]:
    """Requests without an answer of use, with the class of their last attempt and the key to look at them."""
    return [
        {
            "key": key.hex()[:16],
            "purpose": purpose,
            "model": model,
            "attempts": attempts,
            "class": kind,
            "reason": one_line(fingerprint or "", 200),
        }
        for key, purpose, model, attempts, kind, fingerprint, _ in ledger.rows(
            # The bare columns are those of the row with the greatest id: SQLite's rule for MAX.
            "SELECT item, purpose, model, COUNT(*), COALESCE(verdict, kind), fingerprint, MAX(attempts.id) "
            "FROM attempts JOIN endpoints ON endpoints.id = attempts.endpoint "
            f"GROUP BY item HAVING SUM({_USED}) = 0 ORDER BY MIN(attempts.id)"
        )
    ]


def show(ledger: Ledger, key: str) -> dict[str, Any]:
    """The request whose key begins with ``key`` (hexadecimal) with all attempts, repairs too, bodies as text.

    Raises:
        InputError: there is none, or several.
    """
    if len(key) < 4 or not all(digit in "0123456789abcdef" for digit in key.lower()):
        raise InputError(f"{one_line(key, 80)!r} is no key; give its first digits (--failures lists keys)")
    query = "SELECT DISTINCT item FROM attempts WHERE hex(item) LIKE ? OR hex(key) LIKE ? LIMIT 2"
    found = ledger.rows(query, (f"{key.upper()}%",) * 2)
    if len(found) != 1:
        many = "several requests' keys begin" if found else "no request's key begins"
        raise InputError(f"{many} with {key}; see --failures or --export for keys")
    return {"key": found[0][0].hex(), "attempts": list(attempts(ledger, found[0][0]))}


_FIELDS = (
    *("id", "started", "seconds", "purpose", "model", "base_url", "version", "sample", "attempt", "mode"),
    *("status", "class", "verdict", "fingerprint", "prompt_tokens", "completion_tokens", "estimated_tokens"),
    *("cost", "reserved"),
)


def attempts(ledger: Ledger, item: bytes | None = None) -> Iterator[dict[str, Any]]:
    """Every attempt in order, one at a time, raw bodies as text; with ``item`` those of one request."""
    where = "WHERE attempts.item = ?" if item is not None else ""
    query = (
        "SELECT attempts.id, started, seconds, purpose, model, identity, version, sample, attempt, "
        "attempts.mode, status, kind, verdict, fingerprint, prompt_tokens, completion_tokens, estimated, "
        "cost, reserved, attempts.key, attempts.body, requests.body FROM attempts "
        "JOIN endpoints ON endpoints.id = attempts.endpoint JOIN requests ON requests.key = attempts.key "
        f"{where} ORDER BY attempts.id"
    )
    for row in ledger.each(query, (item,) if item is not None else ()):
        *values, found, body, request = row
        received = unpacked(body)
        line = dict(zip(_FIELDS, values, strict=True))
        yield {
            "key": found.hex(),
            **line,
            "text": read_answer(line["status"], received).text if line["class"] in ANSWERS else None,
            "request": unpacked(request).decode("utf-8", "replace"),
            "response": received.decode("utf-8", "replace") if body is not None else None,
        }
