"""Ways to make a text worse, each a list of edits in the order in which they are made.

The order is drawn once, from the seed: a heavier severity makes the edits of the lighter one and more.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from itertools import cycle, pairwise
from typing import Any

from reward_model.calc.check import default_rules
from reward_model.offline.edits import Edit, Piece, pieces
from reward_model.offline.material import material
from reward_model.offline.measures import Figures, UnknownError
from reward_model.tasks import Framework

Technique = Callable[[str, Framework, random.Random], list[Edit]]
_CLAUSE = re.compile(r"[^，；：,;]+[，；：,;]?")
_DROPPED = "analysis dropped"
MOST_LOST = 0.3
"""Of a text's characters: what is dropped beyond that is made good by recital."""

_SUBJECTLESS = re.compile(r"(?:占|升|降|由|为|较|同比|其中|增|减|在|扣除|剔除|按|若|即)")
"""How a clause begins whose subject stands in the one before."""

_DIGIT = re.compile(r"\d")


@cache
def marker(*groups: str) -> re.Pattern[str]:
    """The words of ``words/markers.yaml`` of some groups."""
    return re.compile("|".join(word for group in groups for word in material("markers")[group]))


def _shuffled(items: Sequence[Any], rng: random.Random) -> list[Any]:
    order = list(items)
    rng.shuffle(order)
    return order


def _terminated(text: str, piece: Piece) -> str:
    """``text`` ending as ``piece`` does."""
    end = re.search(r"[。！？；]+$", piece.text.rstrip())
    return text.rstrip("。；，") + (end.group() if end else "")


# -- shallow ---------------------------------------------------------------------------------------------


def shallow(text: str, framework: Framework, rng: random.Random) -> list[Edit]:
    """Causes, linkages and outlook go; the recital of movements stays, and more of it takes their place."""
    analysis = marker("cause", "forward", "link", "advice")
    found = []
    for piece in pieces(text):
        if piece.role in ("heading", "table") or not (piece.is_point or analysis.search(piece.text)):
            continue
        said = text[piece.at : piece.end]
        became = _terminated(f"关注{_subject(said)}的变化", piece) if piece.is_point else _recital(said)
        if became != said:
            found.append(Edit(piece.at, piece.end, became, _DROPPED))
    edits = _shuffled(found, rng)
    # Movements are recited where nothing is left, and where the text would become too short.
    fillers = iter(recitals(text, framework, rng))
    lost = 0
    for index, edit in enumerate(edits):
        lost += edit.end - edit.start - len(edit.became)
        became = edit.became
        while not became or lost > MOST_LOST * len(text):
            filler = next(fillers, None)
            if filler is None:
                break
            lost -= len(filler)
            became = _joined(became, filler)
        if became != edit.became:
            edits[index] = Edit(edit.start, edit.end, became, f"{_DROPPED}, movement recited")
    return edits


def _joined(before: str, after: str) -> str:
    before = before.rstrip("；，")
    return before + after if not before or before.endswith("。") else f"{before}。{after}"


def _subject(text: str) -> str:
    words = re.match(r"([一-龥]{2,8})[：:]", text)
    if words:
        return words.group(1).removesuffix("风险")
    for name in (
        "应收账款",
        "存货",
        "毛利率",
        "费用",
        "现金流",
        "负债",
        "投资",
        "分红",
        "息差",
        "不良",
        "拨备",
        "资本",
    ):
        if name in text:
            return name
    return ("相关指标", "有关情况", "后续数据")[len(text) % 3]


def _recital(sentence: str) -> str:
    """The clauses of a sentence that tell figures and nothing more, as a sentence; "" if there are none."""
    analysis = marker("cause", "forward", "link", "advice")
    kept: list[str] = []
    for clause in _CLAUSE.findall(sentence.rstrip("。！？；\n")):
        if _DIGIT.search(clause) and not analysis.search(clause):
            if not kept and (_SUBJECTLESS.match(clause) or not default_rules().find(clause)):
                continue
            kept.append(clause)
        elif kept and not _DIGIT.search(clause):
            break  # what follows explains
    if not kept:
        return ""
    return "".join(kept).rstrip("，；：,;") + "。"


def recitals(text: str, framework: Framework, rng: random.Random) -> list[str]:
    """Movements of items that the text doesn't tell of, each a true sentence."""
    figures = Figures(framework.fact_sheet, rng)
    said = []
    for name in figures.items:
        if name in text:
            continue
        with suppress(UnknownError):
            measure = figures[name]
            said.append(f"{measure.name}{measure['今']}，{measure['同比']}。")
    for name in ("净利率", "速动比率", "总资产周转率", "管理费用率", "销售费用率"):
        if name not in text and not figures.is_bank:
            with suppress(UnknownError):
                said.append(f"{figures[name].name}为{figures[name]['今']}，上年为{figures[name]['前']}。")
    again = []
    for name in figures.items:
        with suppress(UnknownError):
            measure = figures[name]
            levels = "、".join(measure.written(measure.level(back)) for back in (2, 1, 0))
            years = "、".join(figures.label(back) for back in (2, 1, 0))
            again.append(f"{years}{measure.name}分别为{levels}。")
    return _shuffled(said, rng) + _shuffled(again, rng)


# -- empty -----------------------------------------------------------------------------------------------


def empty(text: str, framework: Framework, rng: random.Random) -> list[Edit]:
    """Sentences become platitudes about the company and its industry, with them their figures go."""
    bank = {
        group: cycle(_shuffled(says, rng))
        for group, says in material("platitudes").items()
        if group != "words"
    }
    found = []
    for piece in pieces(text):
        if piece.role == "heading" or len(piece.text.strip()) < 6:
            continue
        if piece.role == "table":
            continue
        group = "建议" if piece.is_point else _group(piece.text)
        said = next(bank[group]).replace("{公司}", framework.company).replace("{行业}", framework.field)
        if not piece.is_point and len(said) < 0.6 * len(piece.text):
            said += next(bank[group]).replace("{公司}", framework.company).replace("{行业}", framework.field)
        found.append(Edit(piece.at, piece.end, _terminated(said, piece) or said, "platitude"))
    return _shuffled(found, rng) + _tables(text)


def _group(text: str) -> str:
    hits = {
        name: sum(word in text for word in words) for name, words in material("platitudes")["words"].items()
    }
    best = max(hits, key=lambda name: hits[name])
    return best if hits[best] else "总览"


def _tables(text: str) -> list[Edit]:
    """All rows of tables, as one edit a table."""
    rows = [piece for piece in pieces(text) if piece.role == "table"]
    found: list[Edit] = []
    for row in rows:
        if found and text[found[-1].end : row.start].strip() == "":
            found[-1] = Edit(found[-1].start, row.end, "", "table dropped")
        else:
            found.append(Edit(row.start, row.end, "", "table dropped"))
    return found


# -- unprofessional --------------------------------------------------------------------------------------


def colloquial(text: str, framework: Framework, rng: random.Random) -> list[Edit]:
    """Everyday wording and wrong terms for the profession's; what is said and its figures stay."""
    content = material("colloquial")
    spans = [(piece.start, piece.end) for piece in pieces(text) if piece.role in ("sentence", "item")]
    light = _replaced(text, spans, content["light"], "colloquial", rng)
    terms = _replaced(text, spans, content["terms"], "wrong term", rng)
    openings = [
        Edit(piece.at, piece.at, rng.choice(content["opening"]), "colloquial opening")
        for piece in pieces(text)
        if piece.role == "sentence" and len(piece.text) > 25
    ]
    full = [piece for piece in pieces(text) if piece.role == "sentence" and piece.text.endswith("。")]
    particles = [
        Edit(piece.end - 1, piece.end, f"{rng.choice(content['particles'])}。", "particle")
        for piece in full
        if re.search(r"[一-龥]。$", piece.text)
    ]
    coarse = [
        Edit(piece.end, piece.end, says, "joke")
        for piece, says in zip(_shuffled(full, rng), _shuffled(content["coarse"], rng), strict=False)
    ]
    openings, particles = _shuffled(openings, rng), _shuffled(particles, rng)
    half, third = len(openings) // 2, len(particles) // 3
    # Light wording leads; terms come in throughout, spoken language and jokes at the end.
    early = light + terms[: len(terms) // 2] + openings[:half] + particles[:third]
    late = terms[len(terms) // 2 :] + particles[third:] + coarse
    return _shuffled(early, rng) + _shuffled(late, rng)


def _replaced(
    text: str, spans: Sequence[tuple[int, int]], lexicon: Sequence[Any], kind: str, rng: random.Random
) -> list[Edit]:
    found: list[Edit] = []
    taken = bytearray(len(text))
    for pattern, options in lexicon:
        for match in re.finditer(pattern, text):
            start, end = match.span()
            inside = any(low <= start and end <= high for low, high in spans)
            if inside and not any(taken[start:end]):
                taken[start:end] = b"\1" * (end - start)
                found.append(Edit(start, end, rng.choice(options), kind))
    return _shuffled(found, rng)


# -- for a user's own dimensions -------------------------------------------------------------------------


def reassuring(text: str, framework: Framework, rng: random.Random) -> list[Edit]:
    """Risks and thresholds go; reassurance stands in their place."""
    risky = marker("risk")
    says = cycle(_shuffled(material("blunt")["reassurance"], rng))
    found = [
        Edit(piece.at, piece.end, _terminated(next(says), piece), "risk played down")
        for piece in pieces(text)
        if piece.role in ("sentence", "item") and (risky.search(piece.text) or piece.is_point)
    ]
    return _shuffled(found, rng)


def vague_advice(text: str, framework: Framework, rng: random.Random) -> list[Edit]:
    """Advice loses who, what and when."""
    says = cycle(_shuffled(material("blunt")["vague"], rng))
    wanted = re.compile(r"建议|应当|目标|控制在|不低于|不高于|不超过|由.{2,12}(?:部门|委员会|负责)")
    found = [
        Edit(piece.at, piece.end, _terminated(next(says), piece), "advice made vague")
        for piece in pieces(text)
        if piece.is_point or (piece.role == "sentence" and wanted.search(piece.text))
    ]
    return _shuffled(found, rng)


def unreadable(text: str, framework: Framework, rng: random.Random) -> list[Edit]:
    """Headings and paragraphs go, sentences run on, and filler stretches them."""
    found = []
    parts = list(pieces(text))
    for piece, after in pairwise(parts):
        if piece.role == "heading":
            found.append(Edit(piece.start, after.start, "", "heading dropped"))
        elif piece.role in ("sentence", "item") and after.role in ("sentence", "item"):
            body = piece.text.rstrip("。；！？ ")
            start = piece.start + len(body)
            found.append(
                Edit(start, after.start, rng.choice(("，而且", "，与此同时", "，进而", "，")), "run-on")
            )
        if piece.role == "sentence" and len(piece.text) > 20:
            filler = rng.choice(material("blunt")["padding"])
            found.append(Edit(piece.start, piece.start, f"{filler}，", "filler"))
    return _shuffled(found, rng)
