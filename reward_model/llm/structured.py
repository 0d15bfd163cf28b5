"""Answers that should be JSON: find it in what the model wrote, mend what is nearly JSON."""

from __future__ import annotations

import json
import re
from typing import Any

_FENCED = re.compile(r"```(?:json|JSON)?[ \t]*\r?\n(.*?)```", re.DOTALL)
_MAX_CHARS = 400_000
"""Longer answers aren't mended: mending takes time that grows faster than their length."""


def json_text(text: str) -> str | None:
    """The JSON object that an answer holds, as strict JSON text; None if there is none.

    Taken as it is where the whole answer is JSON. Else from the last fence that holds an object, or from
    the first brace to the last; what doesn't parse there (a comma too many, single quotes, an unescaped
    quotation mark) is mended by ``json_repair``. Of several objects the last one counts: models think
    first and conclude last, and an object quoted from the text that they read comes before their own.
    """
    stripped = text.strip()
    if _strict(stripped) is not None:
        return stripped
    fenced = [part.strip() for part in _FENCED.findall(stripped) if "{" in part]
    start, end = stripped.find("{"), stripped.rfind("}")
    for part in [*reversed(fenced), stripped[start : end + 1] if 0 <= start < end else ""]:
        if part and _strict(part) is not None:
            return str(part)
    for part in [*reversed(fenced), stripped[start:] if start >= 0 else ""]:
        mended = _mend(part) if part and len(part) <= _MAX_CHARS else None
        if mended is not None:
            return mended
    return None


def _strict(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _mend(text: str) -> str | None:
    from json_repair import repair_json

    try:
        value = repair_json(text, return_objects=True, skip_json_loads=True)
        usable = isinstance(value, dict) and value
        return str(json.dumps(value, ensure_ascii=False, allow_nan=False)) if usable else None
    except (ValueError, RecursionError, IndexError, TypeError):
        return None
