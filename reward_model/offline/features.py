"""What the embedded judge sees in a text: counts and shares between 0 and 1, each with what it found.

Nothing that is merely added raises a feature that counts in a text's favour: those count distinct sentences
with figures, or are shares of them; a sentence said twice is one sentence. What counts against a text is
counted wherever it stands. So padding, repetition, keyword lists and pleas raise nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from reward_model.calc.check import check_text
from reward_model.calc.result import CheckResult, Claim
from reward_model.offline.edits import Piece, pieces
from reward_model.offline.material import material
from reward_model.offline.techniques import marker
from reward_model.schema import FactSheet

LONGEST = 30_000
"""Characters of a text that are read; reports have about a thousand."""

_QUOTED = 24
_BARE = re.compile(r"(?<![比转])率[^\d\s，。；|]{0,4}\d+\.\d+(?![\d%％]|个|倍|次|天|、)|\d个?点(?![位\d])|\d个?亿(?!元|美|港|吨)")
"""A rate without its sign, 个点 and 亿 for units."""

_SPACE = re.compile(r"\s+")
_FIGURE = re.compile(r"\d(?:[\d,]*\d)?(?:\.\d+)?\s*(?:%|％|个百分点|亿|万|元|倍|天|次|pct|bp)")


@cache
def words(name: str) -> re.Pattern[str]:
    """The pattern of a list in ``words/judge.yaml``."""
    found = material("judge")[name]
    return re.compile("|".join(found) if isinstance(found, list) else found)


@dataclass
class Reading:
    """A text as the judge reads it.

    Attributes:
        text: as much of it as is read.
        result: the checker's findings.
        sentences: distinct sentences and points, in order.
        figured: those with figures.
        values: features by name, 0 to 1.
        found: what a feature found, in the text's words, where there is something to show.
    """

    text: str
    result: CheckResult
    parts: list[Piece] = field(default_factory=list)
    sentences: list[Piece] = field(default_factory=list)
    figured: list[Piece] = field(default_factory=list)
    values: dict[str, float] = field(default_factory=dict)
    found: dict[str, list[str]] = field(default_factory=dict)

    @property
    def wrong(self) -> list[Claim]:
        """Figures that are materially wrong, one for each error: not the direction word beside a wrong figure."""
        return _errors([claim for claim in self.result.wrong if claim.severity != "minor"])

    @property
    def slips(self) -> list[Claim]:
        """Wrong units and other slight errors."""
        return _errors([claim for claim in self.result.wrong if claim.severity == "minor"])


def _errors(claims: Sequence[Claim]) -> list[Claim]:
    found: list[Claim] = []
    for claim in claims:
        # 升至60.28% behind a wrong 由57.57% is the same error told again.
        overlaps = any(claim.span[0] < other.span[1] and other.span[0] < claim.span[1] for other in found)
        if not overlaps:
            found.append(claim)
    return found


def read(text: str, facts: FactSheet | None) -> Reading:
    """Everything the judge goes by."""
    text = text[:LONGEST]
    reading = Reading(text, check_text(text, facts))
    seen: set[str] = set()
    for piece in pieces(text):
        reading.parts.append(piece)
        key = _SPACE.sub("", piece.text)
        if piece.role in ("sentence", "item") and key and key not in seen:
            seen.add(key)
            reading.sentences.append(piece)
            if _FIGURE.search(piece.text):
                reading.figured.append(piece)
    _depth(reading)
    _against(reading)
    _order(reading)
    _advice(reading)
    _risk(reading)
    _readable(reading)
    return reading


def _share(part: float, whole: float) -> float:
    return min(1.0, part / whole) if whole else 0.0


def _full(count: float, enough: float) -> float:
    """A count as a share of what is enough."""
    return min(1.0, count / enough)


def _matching(reading: Reading, pattern: re.Pattern[str], pool: Sequence[Piece] | None = None) -> list[Piece]:
    return [piece for piece in (reading.figured if pool is None else pool) if pattern.search(piece.text)]


def _quote(pieces_: Sequence[Piece]) -> list[str]:
    return [piece.text.strip()[:_QUOTED] for piece in pieces_[:2]]


def _depth(reading: Reading) -> None:
    figured = reading.figured
    count = len(figured)
    cause, forward, link = marker("cause"), marker("forward"), marker("link")
    causes = _matching(reading, cause)
    decomposed = _matching(reading, words("decompose"))
    hidden, lasting = _matching(reading, words("hidden")), _matching(reading, words("lasting"))
    conditional = _matching(reading, words("conditional"))
    linked = [piece for piece in figured if _statements(piece.text) >= 2 and (cause.search(piece.text) or link.search(piece.text) or words("hidden").search(piece.text))]
    recited = [
        piece
        for piece in figured
        if not (cause.search(piece.text) or forward.search(piece.text) or link.search(piece.text))
    ]
    checked = {claim.metric for claim in reading.result.claims if claim.metric and claim.verdict != "wrong"}
    numbers = sum(len(_FIGURE.findall(piece.text)) for piece in figured)
    characters = sum(len(_SPACE.sub("", piece.text)) for piece in figured)
    reading.values |= {
        "figures": _full(count, 8),
        "metrics": _full(len(checked), 20),
        "causes": _full(len(causes), 8),
        "cause_share": _share(len(causes), count),
        "decomposed": _full(len(decomposed), 4),
        "linked": _full(len(linked), 5),
        "hidden": _full(len(hidden), 5),
        "lasting": _full(len(lasting), 3),
        "conditional": _full(len(conditional), 4),
        "analysed": 1 - _share(len(recited), count) if count else 0.0,
        "elaborated": _full(characters / numbers / 22, 1) if numbers else 0.0,
        "derived": _full(_derived(reading), 8),
    }
    reading.found |= {
        "causes": _quote(causes),
        "linked": _quote(linked),
        "hidden": _quote(hidden),
        "decomposed": _quote(decomposed),
        "conditional": _quote(conditional),
        "recited": _quote(recited),
    }


def _derived(reading: Reading) -> int:
    """Figures that no formula of the rules gives, in sentences that analyse: an analyst's own workings."""
    own = [
        piece
        for piece in reading.figured
        if any(words(name).search(piece.text) for name in ("decompose", "hidden", "lasting", "conditional"))
    ]
    return sum(
        claim.verdict == "unverifiable" and any(p.start <= claim.span[0] < p.end for p in own)
        for claim in reading.result.claims
    )


def _statements(text: str) -> int:
    return sum(bool(re.search("|".join(names), text)) for names in material("judge")["statements"].values())


def _against(reading: Reading) -> None:
    """What counts against a text, wherever it stands."""
    text = reading.text
    colloquial = [match.group() for match in words("colloquial").finditer(text)]
    platitudes = [match.group() for match in words("platitude").finditer(text)]
    vague = [match.group() for match in words("vague_advice").finditer(text)]
    emptied = [
        piece for piece in reading.sentences if words("platitude").search(piece.text) and piece not in reading.figured
    ]
    unknown = sum(claim.metric is None for claim in reading.result.claims)
    reading.values |= {
        "colloquial": _full(len(set(colloquial)), 12),
        "colloquial_any": _full(len(colloquial), 4),
        "platitudes": _full(len(platitudes), 12),
        "emptied": _share(len(emptied), len(emptied) + len(reading.figured)),
        "vague": _full(len(vague), 6),
        "unnamed": _share(unknown, len(reading.result.claims)),
        "bare_numbers": _full(len(_BARE.findall(text)), 4),
        "spoken": _full(len(re.findall(r"[？！?!]", text)), 8),
        "wrong": _full(len(reading.wrong), 4),
        "wrong_any": float(bool(reading.wrong)),
        "wrong_many": _full(len(reading.wrong), 12),
        "slips": _full(len(reading.slips), 3),
    }
    reading.found |= {
        "colloquial": [word for word, _ in Counter(colloquial).most_common(4)],
        "platitudes": [word for word, _ in Counter(platitudes).most_common(3)],
        "emptied": _quote(emptied),
        "vague": list(dict.fromkeys(vague))[:2],
    }


def _order(reading: Reading) -> None:
    """Headings, conclusions, contradictions."""
    text = reading.text
    excluded = []
    for one, other in material("judge")["contradiction"]:
        found = (re.search(one, text), re.search(other, text))
        if found[0] and found[1]:
            excluded.append((found[0].group(), found[1].group()))
    hollow = [match.group() for match in words("nothing").finditer(text)]
    lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("|")]
    unfinished = [
        part.text.strip()
        for part in reading.parts
        if part.role in ("sentence", "item") and len(part.text.strip()) > 8 and words("unfinished").search(part.text)
    ]
    misplaced, titled = _misplaced(reading)
    repeated = _repeated(reading)
    opening = [line for line in lines[:4] if _FIGURE.search(line)]
    headings = [part for part in reading.parts if part.role == "heading"]
    numbers = [_NUMERALS.find(match.group(1)) for part in headings if (match := _NUMBERED.match(part.text))]
    reading.values |= {
        "contradictions": _full(len(excluded), 2),
        "hollow": _full(len(hollow), 2),
        "unfinished": _full(len(unfinished), 2),
        "misplaced": _share(misplaced, titled),
        "repeated": _full(repeated, 6),
        "concludes_first": float(any(words("concluding").search(line) for line in opening)),
        "headed": _full(len(headings), 3) if reading.figured else 0.0,
        "switches": _switches(reading)[0],
        "returns": _switches(reading)[1],
        "dangling": _full(_dangling(reading), 3),
        "covered": _covered(reading),
        "misnumbered": float(any(b != a + 1 for a, b in zip(numbers, numbers[1:], strict=False))),
    }
    reading.found |= {
        "contradictions": [f"{one}”与“{other}" for one, other in excluded[:2]],
        "hollow": list(dict.fromkeys(hollow))[:2],
        "unfinished": [line[-14:] for line in unfinished[:1]],
        "misplaced": _misplaced_titles(reading)[:2],
    }


_DANGLING = re.compile(r"(?:但|不过|其中|这(?!一?年)|另外|同时|此外|因此|所以|可见|由此|上述|该)")


def _subjects(text: str) -> frozenset[int]:
    return frozenset(i for i, names in enumerate(_SUBJECTS) if any(name in text for name in names))


def _switches(reading: Reading) -> tuple[float, float]:
    """How often the subject changes from a sentence with figures to the next, and how often it comes back later."""
    told = [subjects for piece in reading.figured if (subjects := _subjects(piece.text))]
    if len(told) < 4:
        return 0.0, 0.0
    changes = sum(not (one & other) for one, other in zip(told, told[1:], strict=False))
    returns = 0
    for subject in range(len(_SUBJECTS)):
        places = [index for index, subjects in enumerate(told) if subject in subjects]
        returns += sum(b - a > 2 for a, b in zip(places, places[1:], strict=False))
    return changes / (len(told) - 1), _full(returns / len(told), 1.5)


def _dangling(reading: Reading) -> int:
    """Paragraphs that begin as if something stood before them."""
    first = {}
    for part in reading.parts:
        first.setdefault(part.line, part)
    return sum(part.role == "sentence" and bool(_DANGLING.match(part.text.lstrip("- "))) for part in first.values())


def _covered(reading: Reading) -> float:
    """Of the sentences with figures under headings that name a subject, the share that speak of it."""
    figured = {piece.start for piece in reading.figured}
    subjects: frozenset[int] = frozenset()
    hits = count = 0
    for part in reading.parts:
        if part.role == "heading":
            subjects = _subjects(part.text)
        elif subjects and part.start in figured:
            count += 1
            hits += bool(subjects & _subjects(part.text))
    return hits / count if count > 2 else 0.5


_NUMERALS = "一二三四五六七八九十"
_NUMBERED = re.compile(r"[#*\s（(]*([一二三四五六七八九十])[、）)]")


def _sections(reading: Reading) -> list[tuple[str, str]]:
    """(heading, text below it)."""
    found: list[list[str]] = []
    for part in reading.parts:
        if part.role == "heading":
            found.append([part.text, ""])
        elif found:
            found[-1][1] += part.text
    return [(title, body) for title, body in found]


def _heads(title: str, body: str) -> bool | None:
    """Whether ``body`` speaks of what ``title`` names; None where the title names nothing known."""
    named = [names for names in _SUBJECTS if any(name in title for name in names)]
    if not named:
        return None
    return any(name in body for names in named for name in names)


_SUBJECTS: tuple[tuple[str, ...], ...] = (
    ("毛利", "成本"), ("费用", "研发", "成本收入比"), ("现金", "回款"), ("应收", "账期", "回款"), ("存货", "库存", "备货"),
    ("偿债", "负债", "杠杆", "借款", "流动比率"), ("收入", "营收"), ("利润", "盈利", "净利", "亏损"),
    ("分红", "分配", "权益", "股东"), ("投资", "资本开支", "购建"), ("息差", "利息"), ("不良", "资产质量", "拨备", "核销"),
    ("资本", "充足率"), ("建议", "要求", "措施", "应对", "安排", "应", "须"), ("销售", "签约", "去化"),
)  # fmt: skip


def _misplaced_titles(reading: Reading) -> list[str]:
    return [title.strip("#* ") for title, body in _sections(reading) if body and _heads(title, body) is False]


def _misplaced(reading: Reading) -> tuple[int, int]:
    """(headings whose text speaks of something else, headings that could be judged)."""
    verdicts = [verdict for title, body in _sections(reading) if body and (verdict := _heads(title, body)) is not None]
    return verdicts.count(False), len(verdicts)


def _repeated(reading: Reading) -> int:
    """How often a figure of one measure and period is told more than twice outside tables."""
    table = [part for part in reading.parts if part.role == "table"]
    told = Counter(
        (claim.metric, claim.period, claim.stated)
        for claim in reading.result.claims
        if claim.metric and not any(part.start <= claim.span[0] < part.end for part in table)
    )
    return sum(count - 2 for count in told.values() if count > 2)


def _advice(reading: Reading) -> None:
    wanted = re.compile(r"建议|应|须|目标|控制|不得|不低于|不高于|不超过|考核|质询|说明|预警|条件|触发|压降|上限|底线")
    advice = [piece for piece in reading.sentences if wanted.search(piece.text)]
    concrete = [
        piece
        for piece in advice
        if (_FIGURE.search(piece.text) is not None) + (words("actor").search(piece.text) is not None) + (words("deadline").search(piece.text) is not None) >= 2
    ]
    limits = [piece for piece in advice if _FIGURE.search(piece.text)]
    reading.values |= {
        "concrete": _full(len(concrete), 3),
        "limits": _full(len(limits), 4),
    }
    reading.found |= {"concrete": _quote(concrete), "limits": _quote(limits)}


def _risk(reading: Reading) -> None:
    risky = _matching(reading, words("risk"))
    bounded = [piece for piece in risky if words("conditional").search(piece.text)]
    calming = [match.group() for match in words("reassurance").finditer(reading.text)]
    reading.values |= {
        "risks": _full(len(risky), 6),
        "bounded_risks": _full(len(bounded), 3),
        "reassurance": _full(len(calming), 4),
    }
    reading.found |= {"risks": _quote(risky), "bounded_risks": _quote(bounded), "reassurance": calming[:2]}


def _readable(reading: Reading) -> None:
    lengths = [len(_SPACE.sub("", piece.text)) for piece in reading.sentences]
    long = [piece for piece, length in zip(reading.sentences, lengths, strict=True) if length > 110]
    paragraphs = [len(line) for line in reading.text.split("\n") if line.strip() and not line.startswith("|")]
    fillers = [match.group() for match in words("filler").finditer(reading.text)]
    reading.values |= {
        "long_sentences": _share(len(long) * 2, len(lengths)),
        "longest_sentence": _full(max(max(lengths, default=0) - 120, 0), 400),
        "long_paragraphs": _full(max(max(paragraphs, default=0) - 260, 0), 500),
        "fillers": _full(len(fillers), 6),
    }
    reading.found |= {"long_sentences": _quote(long), "fillers": list(dict.fromkeys(fillers))[:2]}


def vector(reading: Reading, names: Sequence[str]) -> list[float]:
    """The features ``names`` in order."""
    return [reading.values[name] for name in names]


def feature_values(text: str, facts: FactSheet | None) -> Mapping[str, float]:
    """All features of a text."""
    return read(text, facts).values
