"""What can be done to a text's passages by code: put out of order, cut, padded."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

_SENTENCE = re.compile(r"[^。！？\n]*[。！？]+[”』」）)]*|[^。！？\n]+")


def sentences(line: str) -> list[str]:
    """The sentences of one line, each with its full stop; nothing of the line is lost."""
    return _SENTENCE.findall(line)


def shuffle_sentences(text: str, seed: int = 0) -> str:
    """All sentences of the text in another order, in the paragraphs that were there."""
    lines = [sentences(line) for line in text.split("\n")]
    order = [sentence for line in lines for sentence in line]
    random.Random(f"shuffle:{seed}").shuffle(order)
    rest = iter(order)
    return "\n".join("".join(next(rest) for _ in line) for line in lines)


def shuffle_paragraphs(text: str, seed: int = 0) -> str:
    """The text's paragraphs in another order."""
    lines = [line for line in text.split("\n") if line.strip()]
    random.Random(f"paragraphs:{seed}").shuffle(lines)
    return "\n".join(lines)


def first_part(text: str, share: float) -> str:
    """Whole sentences from the start of the text up to about ``share`` of its characters, at least one."""
    limit = share * len(text)
    kept: list[str] = []
    length = 0
    for line in text.split("\n"):
        taken: list[str] = []
        for sentence in sentences(line):
            if length and length + len(sentence) > limit:
                return "\n".join([*kept, "".join(taken)]).rstrip()
            taken.append(sentence)
            length += len(sentence)
        kept.append("".join(taken))
    return "\n".join(kept).rstrip()


def repeat_sentences(text: str, share: float, seed: int = 0) -> str:
    """The text with sentences said again at the end of their paragraphs, about ``share`` of its length."""
    rng = random.Random(f"repeat:{seed}")
    lines = text.split("\n")
    full = [index for index, line in enumerate(lines) if line.strip()]
    extra = 0
    while full and extra < share * len(text):
        index = rng.choice(full)
        said = rng.choice(sentences(lines[index]) or [lines[index]])
        lines[index] += said
        extra += max(1, len(said))
    return "\n".join(lines)


def insert_phrases(text: str, phrases: Sequence[str], seed: int = 0) -> str:
    """The text with ``phrases`` as sentences at the start, the end, or between its paragraphs."""
    rng = random.Random(f"insert:{seed}")
    lines = text.split("\n")
    for phrase in phrases:
        lines.insert(rng.choice((0, len(lines), rng.randint(0, len(lines)))), phrase)
    return "\n".join(lines)


def blank_lines(text: str, seed: int = 0) -> str:
    """The text with empty lines and spaces strewn between its paragraphs."""
    rng = random.Random(f"blank:{seed}")
    return "\n".join(line + "\n" * rng.randint(1, 6) + " " * rng.randint(0, 8) for line in text.split("\n"))
