"""What of a text is padding: sentences that stood before, and bare lists of terms."""

from __future__ import annotations

import re

from reward_model.degrade.passages import sentences

_ITEM = re.compile(r"[^、，,；;：:。]{1,12}")
_FEWEST_ITEMS = 4
_SHARE_OF_ITEMS = 0.8
_SHORT = 6
"""A sentence as short as this may stand twice: 如下, 单位：亿元, a table's rule."""


def without_padding(text: str) -> str:
    """``text`` without sentences that stood before and sentences that only list terms.

    A text that is nothing but padding comes back as it is.
    """
    seen: set[str] = set()
    lines = []
    for line in text.split("\n"):
        kept = []
        for sentence in sentences(line):
            said = sentence.strip()
            # The rule row of a second table says nothing, and the table needs it.
            words = len(said) > _SHORT and any(char.isalnum() for char in said)
            if words and (said in seen or is_bare_list(said)):
                continue
            seen.add(said)
            kept.append(sentence)
        if kept or not line.strip():
            lines.append("".join(kept))
    left = "\n".join(lines)
    return left if left.strip() else text


def is_bare_list(sentence: str) -> bool:
    """Whether a sentence names terms one after the other and says nothing of them: no figure, no clause."""
    if sentence.count("、") + 1 < _FEWEST_ITEMS or any(char.isdigit() for char in sentence):
        return False
    items = sentence.rstrip("。；;！").replace("：", "、").split("、")
    return sum(bool(_ITEM.fullmatch(item)) for item in items) >= _SHARE_OF_ITEMS * len(items)
