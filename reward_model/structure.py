"""How a text is put together, as a small fixed vector for a model's heads.

Pooled features of a backbone hardly change when sentences change places; these do. Nothing here knows of
figures, and nothing needs a model. A model records :data:`VERSION` and takes no other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, pairwise

from reward_model.degrade.passages import sentences

VERSION = "1"
STRUCTURE_FEATURES: tuple[str, ...] = (
    "cohesion",  # overlap of neighbouring sentences, ...
    "cohesion_gain",  # ... less that of any two: about 0 where the order is arbitrary
    "backward_openings",  # paragraphs that open with 该, 因此, 上述 ...: pointing back at nothing
    "connective_openings",  # paragraphs that open with 但, 其中, 此外 ...
    "opens_midway",  # the whole text opens with such a word
    "inner_headings",  # sentences inside a paragraph that begin with a number or a heading's mark
    "number_breaks",  # numbered points that don't follow the one before
    "inner_fragments",  # sentences inside a paragraph of at most 12 characters without a full stop
)
"""Names of the features, in order; each lies between 0 and 1 (``cohesion_gain`` between -1 and 1)."""

MOST_SENTENCES = 120
"""Overlaps are computed over the first so many sentences: their number grows with the square."""

_BACKWARD = re.compile(r"这|该|其(?!他|余|实)|上述|两者|二者|由此|因此|所以|可见|也就是说|换言之|即")
_CONNECTIVE = re.compile(
    r"其中|此外|但|不过|因此|所以|而|同时|另外|可见|这|该|其(?!他|余|实)|由此|即|也就是说|换言之|若|上述|两者|二者|合计"
    r"|剔除|扣除|加上|相比|反观|相应|对应|再|更|仍|叠加|结果|究其|一方面|另一方面"
)
_HEADING = re.compile(r"[（(]?[一二三四五六七八九十]+[）)、.．]|[（(]?\d{1,2}[）)、.．](?!\d)|#+\s|[-*]\s|【")
_NUMBERED = re.compile(r"[（(]?([一二三四五六七八九十]|\d{1,2})[）)、.．](?!\d)")
_DIGITS = {char: index for index, char in enumerate("一二三四五六七八九十", 1)}
_NOISE = re.compile(r"[\s\d.,，。；：、%（）()\-+]")


def structure_vector(text: str) -> list[float]:
    """The features of ``text``, in the order of :data:`STRUCTURE_FEATURES`; zeros without words."""
    paragraphs = [
        [stripped for sentence in sentences(line) if (stripped := sentence.strip())]
        for line in text.split("\n")
        if line.strip()
    ]
    paragraphs = [paragraph for paragraph in paragraphs if paragraph]
    order = [sentence for paragraph in paragraphs for sentence in paragraph]
    if not order:
        return [0.0] * len(STRUCTURE_FEATURES)
    inner = [sentence for paragraph in paragraphs for sentence in paragraph[1:]]
    near, far = _overlaps(order)
    openings = [paragraph[0] for paragraph in paragraphs]
    return [
        near,
        near - far,
        _share(openings, _BACKWARD),
        _share(openings, _CONNECTIVE),
        float(bool(_CONNECTIVE.match(order[0]))),
        _share(inner, _HEADING),
        _number_breaks(order),
        sum(len(s) <= 12 and s[-1] not in "。！？!?" for s in inner) / max(1, len(inner)),
    ]


def _share(texts: Sequence[str], pattern: re.Pattern[str]) -> float:
    return sum(bool(pattern.match(text)) for text in texts) / max(1, len(texts))


def _overlaps(order: Sequence[str]) -> tuple[float, float]:
    """Mean overlap of neighbours, and of all pairs of sentences.

    Overlap is |A & B| / min(|A|, |B|) of the sentences' character bigrams (Szymkiewicz-Simpson), as lexical
    cohesion is measured between neighbouring passages (Hearst, TextTiling, 1997).
    """
    grams = [_bigrams(sentence) for sentence in order[:MOST_SENTENCES]]
    if len(grams) < 2:
        return 0.0, 0.0
    near = [_overlap(one, other) for one, other in pairwise(grams)]
    far = [_overlap(one, other) for one, other in combinations(grams, 2)]
    return sum(near) / len(near), sum(far) / len(far)


def _bigrams(sentence: str) -> frozenset[str]:
    plain = _NOISE.sub("", sentence)
    return frozenset(plain[at : at + 2] for at in range(len(plain) - 1))


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, min(len(one), len(other)))


def _number_breaks(order: Sequence[str]) -> float:
    """Share of numbered sentences that neither start a count nor follow the one before of their kind."""
    last: dict[bool, int] = {}
    breaks = steps = 0
    for sentence in order:
        if not (found := _NUMBERED.match(sentence)):
            continue
        is_digit = found[1].isdigit()
        number = int(found[1]) if is_digit else _DIGITS[found[1]]
        steps += 1
        breaks += number not in (1, last.get(is_digit, 0) + 1)
        last[is_digit] = number
    return breaks / max(1, steps)
