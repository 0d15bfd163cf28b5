"""What the calculation checker finds in texts whose errors are known: three sets, each as plain figures.

Nothing here prints: every function gives counts, and the single cases behind them for ``--list``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from reward_model.calc.check import check_text
from reward_model.calc.figures import Figure, find_figures
from reward_model.calc.result import CheckResult, Claim
from reward_model.samples import corpus_path
from reward_model.schema import SIDES, FactSheet

HERE = Path(__file__).resolve().parent
GOLD = HERE / "checker_gold.jsonl"
TRUE_FLAGS = HERE / "checker_true_flags.jsonl"
MODES = ("facts", "text")
"""With the fact sheet, and with nothing but the text."""

MEASURED = {"money", "percent", "points", "days", "turns", "multiple"}
"""Kinds of figures that should be checked, beside plain numbers that belong to a metric."""

CLASSES = (
    ("sensitivities", "敏感性"),
    ("growth", "同比|增速|降幅|增长倍数"),
    ("changes", "变动|减少额"),
    ("free cash flow", "自由现金流"),
    ("turnover", "周转"),
    ("ROE, DuPont", "ROE|杜邦|权益乘数"),
    ("bank ratios", "拨备覆盖率|核心一级|净息差|信用成本|成本收入比"),
    ("margins, cost ratios", "毛利率|净利率|费用率"),
    ("leverage, cover", "负债率|流动比率|速动比率|货币资金/有息负债|经营现金流/有息负债"),
    ("cash quality", "净现比"),
    ("sums, differences", "期间费用|合计|净有息负债|拨备前利润"),
)
"""Classes of metrics of the gold file, the first that fits."""

Span = tuple[int, int]


@dataclass(frozen=True)
class Case:
    """One figure that went wrong, for ``--list``; never written to a file."""

    what: str
    id: str
    span: Span
    sentence: str
    detail: str


@dataclass
class Share:
    """``hits`` of ``of``."""

    hits: int = 0
    of: int = 0

    def add(self, hit: bool) -> None:
        """Count one."""
        self.hits += hit
        self.of += 1

    @property
    def share(self) -> float:
        """1 of nothing: nothing was missed."""
        return self.hits / self.of if self.of else 1.0

    def __str__(self) -> str:
        return f"{self.hits}/{self.of} ({self.share:.1%})"


def plain(value: Any) -> Any:
    """Shares and cases as JSON takes them; cases are left out, for they quote the texts."""
    if isinstance(value, Share):
        return {**asdict(value), "share": round(value.share, 4)}
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items() if key != "cases"}
    return value


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All rows; none where there is no such file."""
    if not path.is_file():
        return []
    # Not splitlines(): JSON strings may hold line separators of other kinds.
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def corpus() -> list[dict[str, Any]]:
    """The graded pairs that come with the package."""
    return read_jsonl(corpus_path())


def sheet_of(pair: dict[str, Any]) -> FactSheet:
    """The fact sheet behind a pair."""
    return FactSheet.model_validate(pair["metadata"]["fact_sheet"])


def texts() -> dict[str, tuple[str, FactSheet]]:
    """Text and sheet of every side: "t001.rejected"."""
    return {
        f"{pair['metadata']['id']}.{side}": (pair[side], sheet_of(pair))
        for pair in corpus()
        for side in SIDES
    }


def overlaps(span: Span, other: Span) -> bool:
    """Whether the two share a character."""
    return span[0] < other[1] and other[0] < span[1]


def touching(claims: Iterable[Claim], span: Span) -> list[Claim]:
    """The claims that share a character with ``span``."""
    return [claim for claim in claims if overlaps(claim.span, span)]


def sentence(text: str, span: Span) -> str:
    """What stands around a span, the span in 【】, on one line."""
    start = max(text.rfind(mark, 0, span[0]) for mark in "。\n；") + 1
    end = min((place for mark in "。\n；" if (place := text.find(mark, span[1])) >= 0), default=len(text))
    quoted = text[start : span[0]] + "【" + text[span[0] : span[1]] + "】" + text[span[1] : end]
    return " ".join(quoted.split())


def told(claim: Claim) -> str:
    """A claim on one line."""
    return f"{claim.metric} [{claim.period}] -> {claim.recomputed} by {claim.formula}: {claim.reason}"


def run(text: str, facts: FactSheet, mode: str) -> CheckResult:
    """Check ``text`` in a mode of ``MODES``."""
    return check_text(text, facts if mode == "facts" else None)


# -- the right value ---------------------------------------------------------------------------------------

NUMBER = re.compile(r"([-−－负+]?)\s*([0-9][0-9,]*(?:\.[0-9]+)?)\s*(.*)", re.DOTALL)
SCALE = {"万亿": 10**12, "亿": 10**8, "万": 10**4}
TENTHS = {word: Decimal(index) for index, word in enumerate("一二三四五六七八九", 1)}


def read_value(text: str, unit: str) -> tuple[Decimal, Decimal, bool] | None:
    """(value, worth of the last digit, whether a sign is written); money in 元, 成 in per cent.

    Read here anew, not by the checker's own reader. ``unit`` is the one to assume where none is written.
    """
    tenths = re.fullmatch(r"([一二三四五六七八九])成", text.strip())
    if tenths:
        return TENTHS[tenths[1]] * 10, Decimal(10), False
    match = NUMBER.search(text)
    if match is None:
        return None
    sign, digits, rest = match.groups()
    value = Decimal(digits.replace(",", ""))
    exponent = value.as_tuple().exponent
    step = Decimal(1).scaleb(exponent if isinstance(exponent, int) else 0)
    written = rest.strip() or unit
    scale = Decimal(next((times for word, times in SCALE.items() if written.startswith(word)), 1))
    if written.startswith("成"):
        scale = Decimal(10)
    negative = sign in ("-", "−", "－", "负")
    return value * scale * (-1 if negative else 1), step * scale, bool(sign)


def gives_right(claim: Claim, error: dict[str, Any]) -> bool:
    """Whether the claim's value is one of the right ones, within one unit of their last digit."""
    if claim.recomputed is None:
        return False
    found = read_value(claim.recomputed, error["unit"])
    for right in (error["right"], *error["also_right"]):
        wanted = read_value(right, error["unit"])
        if found is None or wanted is None:
            if claim.recomputed == right:
                return True
            continue
        value, step, _ = wanted
        # "下降45.25%" has its sign in the word: a plain right value is one of size.
        size_only = not wanted[2] and not error["text"].startswith(("-", "+", "−", "－"))
        distance = abs(abs(found[0]) - abs(value)) if size_only else abs(found[0] - value)
        if distance <= step:
            return True
    return False


# -- texts with errors -------------------------------------------------------------------------------------


def metric_class(metric: str) -> str:
    """The class of ``CLASSES`` that a metric of the gold file belongs to."""
    return next((name for name, pattern in CLASSES if re.search(pattern, metric)), "other")


@dataclass
class Recall:
    """Errors found, and found with the right value."""

    found: Share = field(default_factory=Share)
    right: Share = field(default_factory=Share)


def gold() -> dict[str, Any]:
    """Recall of the known errors, in both modes, and wrong verdicts on what isn't one."""
    by_id = texts()
    result: dict[str, Any] = {"texts": 0}
    for mode in MODES:
        figures, words, consequences = Recall(), Recall(), Share()
        parts: dict[str, dict[str, Recall]] = {
            name: defaultdict(Recall) for name in ("class", "basis", "mistake")
        }
        false: list[Case] = []
        missed: list[Case] = []
        checked = 0
        rows = read_jsonl(GOLD)
        result["texts"] = len(rows)
        for row in rows:
            text, facts = by_id[row["id"]]
            if hashlib.sha256(text.encode()).hexdigest() != row["sha256"]:
                raise SystemExit(f"{GOLD.name}: {row['id']} is of another text than the corpus has")
            outcome = run(text, facts, mode)
            checked += outcome.summary.checked
            for error in row["errors"]:
                span = tuple(error["span"])
                claims = touching(outcome.wrong, span)
                if error["kind"] != "primary":
                    consequences.add(bool(claims))
                    continue
                right = any(gives_right(claim, error) for claim in claims)
                counted = [words] if error["unit"] == "word" else [figures]
                if error["unit"] != "word":
                    counted += [
                        parts["class"][metric_class(error["metric"])],
                        parts["basis"][error["basis"]],
                        parts["mistake"][error["likely_mistake"]],
                    ]
                for recall in counted:
                    recall.found.add(bool(claims))
                    recall.right.add(right)
                if not right:
                    seen = "; ".join(map(told, claims or touching(outcome.claims, span))) or "no claim"
                    name = f"{'wrong value' if claims else 'missed'} ({mode})"
                    wanted = f"right: {error['right']} ({error['metric']}, {error['why']}); checker: {seen}"
                    missed.append(Case(name, row["id"], span, sentence(text, span), wanted))
            known = [tuple(error["span"]) for error in (*row["errors"], *row["doubtful"])]
            for claim in outcome.wrong:
                if not any(overlaps(claim.span, span) for span in known):
                    name = f"false alarm in a text with errors ({mode})"
                    false.append(Case(name, row["id"], claim.span, sentence(text, claim.span), told(claim)))
        result[mode] = {
            "found": figures.found,
            "right": figures.right,
            "words": words.found,
            "consequences": consequences,
            "false_alarms": Share(len(false), checked),
            **{
                f"by_{name}": {key: asdict_shares(recall) for key, recall in sorted(part.items())}
                for name, part in parts.items()
            },
            "cases": missed + false,
        }
    return result


def asdict_shares(recall: Recall) -> dict[str, Share]:
    """A recall as a dict of its shares."""
    return {"found": recall.found, "right": recall.right}


# -- texts without errors ----------------------------------------------------------------------------------


def is_clean(pair: dict[str, Any]) -> bool:
    """Whether both judges gave the gold full marks for accuracy and named no wrong figure."""
    judgements = pair["scores"]["judgements"]["chosen"]
    return all(seen["accuracy"] == 4 and not seen["wrong_numbers"] for seen in judgements)


def is_measured(figure: Figure, claims: Sequence[Claim]) -> bool:
    """Whether it is an amount, a rate or a ratio: what the checker should have a verdict of."""
    return figure.kind in MEASURED or (figure.kind == "number" and any(claim.metric for claim in claims))


def clean() -> dict[str, Any]:
    """Wrong verdicts on golds without errors, and the share of figures that got a verdict, in both modes."""
    flags: dict[str, list[Span]] = defaultdict(list)
    by_id = texts()
    for row in read_jsonl(TRUE_FLAGS):
        span = (int(row["span"][0]), int(row["span"][1]))
        if row["id"] not in by_id or by_id[row["id"]][0][slice(*span)] != row["text"]:
            raise SystemExit(f"{TRUE_FLAGS.name}: {row['id']} {row['span']} doesn't quote the corpus")
        flags[row["id"]].append(span)
    pairs = [pair for pair in corpus() if is_clean(pair)]
    result: dict[str, Any] = {"texts": len(pairs)}
    for mode in MODES:
        figures = checked = 0
        covered = Share()
        kinds: dict[str, Share] = defaultdict(Share)
        confirmed = 0
        false: list[Case] = []
        verdicts: dict[str, int] = defaultdict(int)
        for pair in pairs:
            identity = f"{pair['metadata']['id']}.chosen"
            text = pair["chosen"]
            outcome = run(text, sheet_of(pair), mode)
            figures += outcome.summary.figures
            checked += outcome.summary.checked
            for claim in outcome.claims:
                verdicts[claim.verdict] += 1
            for claim in outcome.wrong:
                if any(overlaps(claim.span, span) for span in flags[identity]):
                    confirmed += 1
                    continue
                name = f"false alarm ({mode})"
                false.append(Case(name, identity, claim.span, sentence(text, claim.span), told(claim)))
            starts = defaultdict(list)
            for claim in outcome.claims:
                starts[claim.span[0]].append(claim)
            for figure in find_figures(text):
                claims = starts[figure.start]
                if is_measured(figure, claims):
                    hit = any(claim.verdict != "unverifiable" for claim in claims)
                    covered.add(hit)
                    kinds[figure.kind].add(hit)
        result[mode] = {
            "figures": figures,
            "checked": checked,
            "verdicts": dict(verdicts),
            "false_alarms": Share(len(false), checked),
            "confirmed_flags": confirmed,
            "covered": covered,
            "by_kind": dict(sorted(kinds.items())),
            "cases": false,
        }
    return result


# -- real text ---------------------------------------------------------------------------------------------


def stated_span(row: dict[str, Any]) -> tuple[Span, Span]:
    """Spans of the claim in its passage, and of the figure that it states."""
    claim, stated = row["meta"]["claim"], row["meta"]["stated"]
    start = row["text"].find(claim)
    inside = claim.rfind(stated)
    if start < 0 or inside < 0:
        raise SystemExit(f"real text: the claim of {row['source']!r} isn't in its passage")
    return (start, start + len(claim)), (start + inside, start + inside + len(stated))


def real(folder: Path) -> dict[str, Any] | None:
    """Claims of real passages, without facts; None where the folder has none."""
    rows = read_jsonl(folder / "natural_claims.jsonl")
    if not rows:
        return None
    found, scrambled, missed = Share(), Share(), []
    trapped, touched, flagged, verified = Share(), Share(), Share(), Share()
    cases: list[Case] = []
    for row in rows:
        text, verdict = row["text"], row["meta"]["verdict"]
        whole, stated = stated_span(row)
        outcome = check_text(text)
        on_stated = touching(outcome.claims, stated)
        wrong_stated = touching(outcome.wrong, stated)
        detail = "; ".join(map(told, wrong_stated or on_stated)) or "no claim"
        case = Case(verdict, row["source"], stated, sentence(text, stated), detail)
        if verdict == "inconsistent" and row["source"].endswith(SCRAMBLED):
            scrambled.add(bool(wrong_stated))
        elif verdict == "inconsistent":
            found.add(bool(wrong_stated))
            if not wrong_stated:
                missed.append(case)
        elif verdict == "binding_trap":
            trapped.add(bool(wrong_stated))
            touched.add(any(claim.verdict != "unverifiable" for claim in on_stated))
            if wrong_stated:
                cases.append(case)
        elif verdict == "consistent":
            wrong = touching(outcome.wrong, whole)
            flagged.add(bool(wrong))
            verified.add(any(claim.verdict in ("ok", "rounding") for claim in on_stated))
            if wrong:
                detail = "; ".join(map(told, wrong))
                cases.append(
                    Case(verdict, row["source"], wrong[0].span, sentence(text, wrong[0].span), detail)
                )
    return {
        "passages": len(rows),
        "inconsistent_found": found,
        "scrambled_flagged": scrambled,
        "traps_flagged": trapped,
        "traps_with_a_verdict": touched,
        "consistent_flagged": flagged,
        "consistent_verified": verified,
        "questions": questions(read_jsonl(folder / "openfindata_check.jsonl")),
        "cases": missed + cases,
    }


SCRAMBLED = ("CFB/summary/303",)
"""Ends of the sources of passages that PDF extraction scrambled: what they say is anybody's guess."""


def questions(rows: Sequence[dict[str, Any]]) -> Share:
    """Multiple-choice "which figure is wrong": how often the flags point at the right choice.

    The choice that quotes a flagged figure is taken; without a flag, one that says that nothing is wrong.
    """
    right = Share()
    for row in rows:
        choices: dict[str, str] = row["meta"]["choices"]
        wrong = [claim.text for claim in check_text(row["text"]).wrong]
        none = [key for key, said in choices.items() if re.search("无.{0,4}(错误|异常)|没有.{0,4}错误", said)]
        named = [key for key, said in choices.items() if any(quoted in said for quoted in wrong)]
        picked = named if wrong else none
        right.add(len(picked) == 1 and picked[0] == row["meta"]["answer"])
    return right
