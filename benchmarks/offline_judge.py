"""How the embedded judge agrees with the corpus, and what it makes of the embedded writer's texts.

    uv run python benchmarks/offline_judge.py            the tables of docs/generation.md
    uv run python benchmarks/offline_judge.py --fit      fit its weights again, on writers w0 to w4 only

The corpus's levels are rounded means of two LLM judgements a text. Fitting sees llm-w0 to w4; w5 to w8 are
only reported.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.optimize import lsq_linear

from reward_model.calc.check import check_text
from reward_model.offline import features, material
from reward_model.offline.judge import OfflineJudge
from reward_model.offline.quality import FITTED, fitted_score
from reward_model.offline.writer import OfflineWriter
from reward_model.rubric import load_rubric
from reward_model.schema import FactSheet
from reward_model.stats.metrics import accuracy, confusion_matrix, kappa, within_one
from reward_model.tasks import JudgeCase, PairTask

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from corpus_frameworks import corpus_rows, framework_of

FIT_ON = tuple(f"llm-w{i}" for i in range(5))
ANALYSIS = (
    "figures",
    "metrics",
    "causes",
    "cause_share",
    "decomposed",
    "linked",
    "hidden",
    "lasting",
    "conditional",
    "analysed",
    "derived",
    "concrete",
    "limits",
    "covered",
)
"""Features of analysis; each speaks for a text."""
FAVOURABLE = frozenset(ANALYSIS)
TRIED = {
    "depth": [
        *ANALYSIS,
        "platitudes",
        "emptied",
        "vague",
        "wrong",
        "wrong_any",
        "wrong_many",
        "contradictions",
        "hollow",
        "unfinished",
        "misplaced",
        "repeated",
        "returns",
        "switches",
        "dangling",
        "colloquial",
    ],
    "professionalism": [
        "figures",
        "metrics",
        "decomposed",
        "linked",
        "hidden",
        "conditional",
        "analysed",
        "derived",
        "concrete",
        "limits",
        "covered",
        "colloquial",
        "colloquial_any",
        "bare_numbers",
        "spoken",
        "platitudes",
        "emptied",
        "vague",
        "wrong",
        "wrong_any",
        "wrong_many",
        "slips",
        "contradictions",
        "hollow",
        "unfinished",
        "misplaced",
        "repeated",
        "misnumbered",
        "unnamed",
        "returns",
        "switches",
        "dangling",
    ],
}
RIDGE = 3.0
LEAST = 0.02
"""Smaller weights are left out."""


def texts(
    rows: Sequence[dict[str, Any]],
) -> Iterator[tuple[str, dict[str, Any], str, FactSheet, dict[str, int]]]:
    """(writer, row, text, facts, levels)."""
    for row in rows:
        facts = FactSheet.model_validate(row["metadata"]["fact_sheet"])
        for side in ("chosen", "rejected"):
            yield row["metadata"]["model"], row, row[side], facts, row["scores"][side]


# -- fitting ---------------------------------------------------------------------------------------------


def _solve(rows: np.ndarray, levels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Ridge regression with signs: what counts in a text's favour never lowers it, nor the other way."""
    low = [-np.inf] + [0.0 if name in FAVOURABLE else -np.inf for name in names]
    high = [np.inf] + [np.inf if name in FAVOURABLE else 0.0 for name in names]
    ridge = np.sqrt(RIDGE) * np.eye(len(names) + 1)[1:]
    design = np.r_[np.c_[np.ones(len(rows)), rows], ridge]
    return lsq_linear(design, np.r_[levels, np.zeros(len(names))], (low, high)).x


def _cuts(scores: np.ndarray, levels: np.ndarray, classes: int) -> list[float]:
    """Where levels begin, for the best quadratic kappa, a little drawn to the halves between levels."""
    cuts = np.arange(classes - 1) + 0.5

    def worth(candidate: np.ndarray) -> float:
        found = kappa(confusion_matrix(levels, np.searchsorted(candidate, scores), classes))
        return found - 0.01 * float(np.abs(candidate - np.arange(classes - 1) - 0.5).sum())

    best = worth(cuts)
    for _ in range(6):
        for index in range(classes - 1):
            for value in np.arange(-0.6, classes - 0.4, 0.05):
                candidate = cuts.copy()
                candidate[index] = value
                if (np.diff(candidate) > 0.15).all() and worth(candidate) > best:
                    best, cuts = worth(candidate), candidate
    return [round(float(cut), 2) for cut in cuts]


def fit(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Weights and cuts of the fitted families, and how a writer left out agrees with them (w0-w4 only)."""
    found = [(w, features.read(t, f).values, s) for w, _, t, f, s in texts(rows) if w in FIT_ON]
    writers = np.array([writer for writer, _, _ in found])
    result: dict[str, Any] = {}
    for family in FITTED:
        names = TRIED[family]
        x = np.array([[values[name] for name in names] for _, values, _ in found])
        y = np.array([scores[family] for _, _, scores in found])
        held = np.zeros(len(y))
        for writer in FIT_ON:
            out = writers == writer
            beta = _solve(x[~out], y[~out], names)
            weights = dict(zip(names, beta[1:], strict=True))
            rows_out = (dict(zip(names, row, strict=True)) for row in x[out])
            held[out] = [fitted_score(beta[0], weights, row) for row in rows_out]
        beta = _solve(x, y, names)
        kept = {n: round(float(b), 3) for n, b in zip(names, beta[1:], strict=True) if abs(b) >= LEAST}
        cuts = _cuts(held, y, 5)
        agreement = kappa(confusion_matrix(y, np.searchsorted(cuts, held), 5))
        print(f"{family}: kappa with a writer left out {agreement:.3f}, {len(kept)} of {len(names)} kept")
        result[family] = {"intercept": round(float(beta[0]), 3), "cuts": cuts, "weights": kept}
    return result


# -- reporting -------------------------------------------------------------------------------------------


def agreement(rows: Sequence[dict[str, Any]], writers: str) -> None:
    """A line a dimension: quadratic kappa, exact, within one."""
    rubric = load_rubric()
    judge = OfflineJudge(rubric)
    chosen = [item for item in texts(rows) if (item[0] in FIT_ON) == (writers == "w0-w4") or writers == "all"]
    given: dict[str, list[int]] = {name: [] for name in rubric.names}
    true: dict[str, list[int]] = {name: [] for name in rubric.names}
    started = time.perf_counter()
    for _, row, text, facts, scores in chosen:
        judgement = asyncio.run(judge.judge(JudgeCase(text, row["prompt"], facts)))
        for name in rubric.names:
            given[name].append(judgement.levels[name] or 0)
            true[name].append(scores[name])
    milliseconds = (time.perf_counter() - started) / len(chosen) * 1000
    for name in rubric.names:
        table = confusion_matrix(true[name], given[name], rubric.num_classes)
        found = f"{kappa(table):.3f} | {accuracy(table):.3f} | {within_one(table):.3f}"
        print(f"| {writers} ({len(chosen)}) | {name} | {found} |")
    print(f"{milliseconds:.1f} ms a text", flush=True)


def own_texts(rows: Sequence[dict[str, Any]], seed: int) -> None:
    """Each degradation and severity of the embedded writer: mean drops, and what falls most."""
    rubric = load_rubric()
    judge, writer = OfflineJudge(rubric), OfflineWriter(rubric, seed)
    drops: dict[tuple[str, str], list[dict[str, int]]] = {}
    golds: dict[str, list[int]] = {name: [] for name in rubric.names}
    monotone: dict[str, list[bool]] = {}
    spent = []
    for index, row in enumerate(rows):
        framework = framework_of(row)
        focus = rubric.quality_focuses[index % len(rubric.quality_focuses)]
        task = PairTask(framework.id, framework, focus, rubric.degradations[0], rubric.severities[0])
        gold = asyncio.run(writer.gold(task)).text or ""
        levels = asyncio.run(judge.judge(JudgeCase(gold, framework.prompt(), framework.fact_sheet))).levels
        for name in rubric.names:
            golds[name].append(levels[name] or 0)
        for degradation in rubric.degradations:
            ladder = []
            for severity in rubric.severities:
                started = time.perf_counter()
                task = PairTask(framework.id, framework, focus, degradation, severity)
                draft = asyncio.run(writer.degraded(task, gold))
                case = JudgeCase(draft.text or gold, framework.prompt(), framework.fact_sheet)
                worse = asyncio.run(judge.judge(case)).levels
                spent.append(time.perf_counter() - started)
                drop = {name: (levels[name] or 0) - (worse[name] or 0) for name in rubric.names}
                drops.setdefault((degradation.name, severity), []).append(drop)
                ladder.append(drop[degradation.target])
            monotone.setdefault(degradation.name, []).append(
                ladder == sorted(ladder) and ladder[-1] > ladder[0]
            )
    means = ", ".join(f"{name} {statistics.mean(values):.2f}" for name, values in golds.items())
    print(f"\nGolds: mean levels {means}; degraded and judged in {statistics.mean(spent) * 1000:.1f} ms")
    for (degradation, severity), found in drops.items():
        target = rubric.target_of(degradation)
        most = sum(drop[target] == max(drop.values()) and drop[target] > 0 for drop in found) / len(found)
        mean = " / ".join(f"{statistics.mean(drop[name] for drop in found):.2f}" for name in rubric.names)
        print(f"| {degradation} | {severity} | {mean} | {most:.2f} |")
    for degradation, verdicts in monotone.items():
        print(f"{degradation}: the target falls with severity in {statistics.mean(verdicts):.2f}")


def variety(rows: Sequence[dict[str, Any]], seed: int) -> None:
    """How alike 200 golds are, beside the corpus's own; and how well the checker knows their figures."""
    rubric = load_rubric()
    writer = OfflineWriter(rubric, seed)
    made, checked, figures, wrong = [], 0, 0, 0
    started = time.perf_counter()
    for index, row in enumerate(rows[:200]):
        framework = framework_of(row)
        focus = rubric.quality_focuses[index % len(rubric.quality_focuses)]
        task = PairTask(framework.id, framework, focus, rubric.degradations[0], rubric.severities[0], index)
        made.append(asyncio.run(writer.gold(task)).text or "")
    seconds = time.perf_counter() - started
    for row, text in zip(rows, made, strict=False):
        summary = check_text(text, framework_of(row).fact_sheet).summary
        checked, figures, wrong = (
            checked + summary.checked,
            figures + summary.figures,
            wrong + summary.wrong,
        )
    print(f"\n200 golds in {seconds * 5:.1f} ms each; {figures / 200:.0f} figures a text, ", end="")
    print(f"{checked / figures:.2f} of them checked, {wrong} wrong")
    for name, texts_ in (("embedded writer", made), ("corpus golds", [row["chosen"] for row in rows[:200]])):
        grams = [{text[i : i + 4] for i in range(len(text) - 3)} for text in texts_]
        alike = [len(a & b) / len(a | b) for a, b in itertools.combinations(grams, 2)]
        distinct = [
            len({text[i : i + n] for text in texts_ for i in range(len(text) - n + 1)})
            / sum(len(text) - n + 1 for text in texts_)
            for n in (2, 3, 4, 8)
        ]
        size = statistics.quantiles([len(text) for text in texts_], n=20)
        print(
            f"| {name} | {len(set(texts_))} | {statistics.mean(alike):.3f} | {max(alike):.3f} | "
            + " / ".join(f"{value:.2f}" for value in distinct)
            + f" | {size[0]:.0f} / {statistics.median(len(text) for text in texts_):.0f} / {size[-1]:.0f} |"
        )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = corpus_rows()
    if options.fit:
        path = Path(material.__file__).parent / "words" / "judge_weights.yaml"
        head = "# Fitted by benchmarks/offline_judge.py --fit on llm-w0 to llm-w4; see docs/generation.md.\n"
        path.write_text(head + yaml.safe_dump(fit(rows), sort_keys=False), encoding="utf-8")
        return
    print("| Writers (texts) | Dimension | Quadratic kappa | Exact | Within one |\n|---|---|---|---|---|")
    for writers in ("w0-w4", "w5-w8", "all"):
        agreement(rows, writers)
    own_texts(rows, options.seed)
    variety(rows, options.seed)


if __name__ == "__main__":
    main()
