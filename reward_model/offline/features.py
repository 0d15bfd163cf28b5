"""What the embedded judge sees in a text: counts and shares between 0 and 1, each with what it found.

Nothing that is merely added raises a feature that counts in a text's favour: those count distinct sentences
with figures, or are shares of them; a sentence said twice is one sentence. What counts against a text is
counted wherever it stands. So padding, repetition, keyword lists and pleas raise nothing.
"""

from __future__ import annotations

import re
from collections import Counter

from reward_model.calc.check import default_rules
from reward_model.offline.material import material
from reward_model.offline.order import order
from reward_model.offline.reading import FIGURE, SPACE, Reading, full, matching, parse, quoted, share, words
from reward_model.offline.techniques import marker
from reward_model.schema import FactSheet

_BARE = re.compile(
    r"(?<![比转])率[^\d\s，。；|]{0,4}\d+\.\d+(?![\d%％]|个|倍|次|天|、)|\d个?点(?![位\d])|\d个?亿(?!元|美|港|吨)"
)
"""A rate without its sign, 个点 and 亿 for units."""


def read(text: str, facts: FactSheet | None) -> Reading:
    """Everything the judge goes by."""
    reading = parse(text, facts)
    for step in (_depth, _against, order, _advice, _risk, _readable):
        step(reading)
    return reading


def _depth(reading: Reading) -> None:
    figured = reading.figured
    count = len(figured)
    cause, forward, link = marker("cause"), marker("forward"), marker("link")
    causes = matching(reading, cause)
    decomposed = matching(reading, words("decompose"))
    hidden, lasting = matching(reading, words("hidden")), matching(reading, words("lasting"))
    conditional = matching(reading, words("conditional"))
    linked = [
        piece
        for piece in figured
        if _statements(piece.text) >= 2
        and (cause.search(piece.text) or link.search(piece.text) or words("hidden").search(piece.text))
    ]
    recited = [
        piece
        for piece in figured
        if not (cause.search(piece.text) or forward.search(piece.text) or link.search(piece.text))
    ]
    named = {mention.metric for piece in figured for mention in default_rules().find(piece.text)}
    numbers = sum(len(FIGURE.findall(piece.text)) for piece in figured)
    characters = sum(len(SPACE.sub("", piece.text)) for piece in figured)
    reading.values |= {
        "figures": full(count, 8),
        "metrics": full(len(named), 10),
        "causes": full(len(causes), 8),
        "cause_share": share(len(causes), count),
        "decomposed": full(len(decomposed), 4),
        "linked": full(len(linked), 5),
        "hidden": full(len(hidden), 5),
        "lasting": full(len(lasting), 3),
        "conditional": full(len(conditional), 4),
        "analysed": 1 - share(len(recited), count) if count else 0.0,
        "elaborated": full(characters / numbers / 22, 1) if numbers else 0.0,
        "derived": full(_derived(reading), 8),
    }
    reading.found |= {
        "causes": quoted(causes),
        "linked": quoted(linked),
        "hidden": quoted(hidden),
        "decomposed": quoted(decomposed),
        "conditional": quoted(conditional),
        "recited": quoted(recited),
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
        piece
        for piece in reading.sentences
        if words("platitude").search(piece.text) and piece not in reading.figured
    ]
    unknown = sum(claim.metric is None for claim in reading.result.claims)
    reading.values |= {
        "colloquial": full(len(set(colloquial)), 18),
        "colloquial_any": full(len(colloquial), 4),
        "platitudes": full(len(platitudes), 12),
        "emptied": share(len(emptied), len(emptied) + len(reading.figured)),
        "vague": full(len(vague), 6),
        "unnamed": share(unknown, len(reading.result.claims)),
        "bare_numbers": full(len(_BARE.findall(text)), 4),
        "spoken": full(len(re.findall(r"[？！?!]", text)), 8),
        "wrong": full(len(reading.wrong), 4),
        "wrong_any": float(bool(reading.wrong)),
        "wrong_many": full(len(reading.wrong), 12),
        "slips": full(len(reading.slips), 3),
    }
    reading.found |= {
        "colloquial": [word.strip("，。？") for word, _ in Counter(colloquial).most_common(4)],
        "platitudes": [word for word, _ in Counter(platitudes).most_common(3)],
        "emptied": quoted(emptied),
        "vague": list(dict.fromkeys(vague))[:2],
    }


def _advice(reading: Reading) -> None:
    wanted = re.compile(
        r"建议|应|须|目标|控制|不得|不低于|不高于|不超过|考核|质询|说明|预警|条件|触发|压降|上限|底线"
    )
    advice = [piece for piece in reading.sentences if wanted.search(piece.text)]
    concrete = [
        piece
        for piece in advice
        if (FIGURE.search(piece.text) is not None)
        + (words("actor").search(piece.text) is not None)
        + (words("deadline").search(piece.text) is not None)
        >= 2
    ]
    limits = [piece for piece in advice if FIGURE.search(piece.text)]
    reading.values |= {
        "concrete": full(len(concrete), 3),
        "limits": full(len(limits), 4),
    }
    reading.found |= {"concrete": quoted(concrete), "limits": quoted(limits)}


def _risk(reading: Reading) -> None:
    risky = matching(reading, words("risk"))
    bounded = [piece for piece in risky if words("conditional").search(piece.text)]
    calming = [match.group() for match in words("reassurance").finditer(reading.text)]
    reading.values |= {
        "risks": full(len(risky), 6),
        "bounded_risks": full(len(bounded), 3),
        "reassurance": full(len(calming), 4),
    }
    reading.found |= {"risks": quoted(risky), "bounded_risks": quoted(bounded), "reassurance": calming[:2]}


def _readable(reading: Reading) -> None:
    lengths = [len(SPACE.sub("", piece.text)) for piece in reading.sentences]
    long = [piece for piece, length in zip(reading.sentences, lengths, strict=True) if length > 110]
    paragraphs = [len(line) for line in reading.text.split("\n") if line.strip() and not line.startswith("|")]
    fillers = [match.group() for match in words("filler").finditer(reading.text)]
    reading.values |= {
        "long_sentences": share(len(long) * 2, len(lengths)),
        "longest_sentence": full(max(max(lengths, default=0) - 120, 0), 400),
        "long_paragraphs": full(max(max(paragraphs, default=0) - 260, 0), 500),
        "fillers": full(len(fillers), 6),
    }
    reading.found |= {"long_sentences": quoted(long), "fillers": list(dict.fromkeys(fillers))[:2]}
