"""What keeps the model from the judges' agreement: too few texts, judges that differ, or errors not found.

``uv run python benchmarks/bounds.py --output docs/bounds.json``; see README.md beside it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _bench as bench
import numpy as np

from reward_model.arguments import run
from reward_model.augmentation import augmented
from reward_model.calc.check import check_text
from reward_model.dataset_multidim import load_texts
from reward_model.frozen import FrozenFeatures, fold_heads, rows_of
from reward_model.rubric import Rubric, load_rubric
from reward_model.samples import GradedText, corpus_path, leave_one_out
from reward_model.stats.metrics import predicted_levels, quadratic_kappa

WRITERS = (2, 4, 6, 8)


def judges(texts: Sequence[GradedText], rubric: Rubric) -> dict[str, Any]:
    """How far the judgements of one text agree, and how far the labels' neighbours are in doubt."""
    found = {}
    rows = [json.loads(line) for line in corpus_path().read_text(encoding="utf-8").splitlines()]
    votes = [row["scores"]["judgements"][side] for row in rows for side in ("chosen", "rejected")]
    for d, name in enumerate(rubric.names):
        first, second = (np.array([vote[k][name] for vote in votes]) for k in (0, 1))
        labels = np.array([text.labels[d] for text in texts])
        found[name] = {
            "between_judgements": quadratic_kappa(first, second, rubric.num_classes),
            "first_against_label": quadratic_kappa(labels, first, rubric.num_classes),
            "judgements_differ": float((first != second).mean()),
            "labels_of_level": [int((labels == level).sum()) for level in range(rubric.num_classes)],
        }
    return found


def curve(
    texts: Sequence[GradedText], everything: Sequence[GradedText], frozen: FrozenFeatures, rubric: Rubric
) -> tuple[dict[int, Any], dict[str, np.ndarray]]:
    """QWK a regime and dimension by the number of writers learned from; and the levels at the last."""
    inputs = frozen.inputs(everything)
    row_of = {id(text): row for row, text in enumerate(everything)}
    labels = np.array([text.labels for text in texts])
    result: dict[int, Any] = {}
    levels: dict[str, np.ndarray] = {}
    for count in WRITERS:
        levels = {regime: np.zeros_like(labels) for regime in inputs}
        for writer, rest, held in leave_one_out(everything, "writer"):
            others = sorted({text.slices["writer"] for text in rest})
            random.Random(writer).shuffle(others)
            learned = [text for text in rest if text.slices["writer"] in others[:count]]
            heads = fold_heads(frozen, rows_of(inputs, [row_of[id(text)] for text in learned]), learned)
            rows = [row_of[id(text)] for text in held if text.made_from is None]
            for regime, matrix in inputs.items():
                levels[regime][rows] = predicted_levels(heads(matrix[rows], regime))
        result[count] = {
            regime: {
                name: quadratic_kappa(labels[:, d], found[:, d], rubric.num_classes)
                for d, name in enumerate(rubric.names)
            }
            for regime, found in levels.items()
        }
        bench.say(f"{count} writers: {result[count]}")
    return result, levels


def misses(texts: Sequence[GradedText], levels: np.ndarray, rubric: Rubric) -> dict[str, Any]:
    """Where the level with facts misses the label: by how much, and for accuracy what was found."""
    found: dict[str, Any] = {}
    for d, name in enumerate(rubric.names):
        off = [int(levels[row, d]) - text.labels[d] for row, text in enumerate(texts)]
        found[name] = dict(sorted(Counter(off).items()))
    causes: Counter[str] = Counter()
    at = rubric.names.index("accuracy")
    top = rubric.num_classes - 1
    for row, text in enumerate(texts):
        label, level = text.labels[at], int(levels[row, at])
        if label == level:
            continue
        wrong = len(check_text(text.text, text.facts).wrong)
        if level > label:
            causes[
                "too high, the checker found no error" if not wrong else "too high, some errors found"
            ] += 1
        else:
            causes[
                "too low, a flag on a clean text"
                if label == top and wrong
                else "too low, errors weighed more"
            ] += 1
    found["accuracy_causes"] = dict(causes.most_common())
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    from reward_model.backbone import resolve_base
    from reward_model.train_multidim import config, settings_from

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, metavar="F.json")
    options = parser.parse_args(arguments)
    rubric = load_rubric()
    texts = load_texts(corpus_path(), rubric)
    settings = settings_from(config, {"base_model_name": "embedded"}, preset="frozen")
    frozen = FrozenFeatures(settings, rubric, resolve_base("embedded"), bench.say)
    made = augmented(texts, rubric, settings.augment, share=settings.augment_share, seed=settings.seed)
    by_writers, levels = curve(texts, [*texts, *made], frozen, rubric)
    result = {
        "judges": judges(texts, rubric),
        "by_writers": by_writers,
        "misses_with_facts": misses(texts, levels["facts"], rubric),
    }
    if options.output:
        options.output.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    for regime in levels:
        rows = [[str(n), *(f"{v:.3f}" for v in found[regime].values())] for n, found in by_writers.items()]
        print(f"QWK, {regime}\n\n{bench.markdown(['writers learned from', *rubric.names], rows)}\n")
    print(
        json.dumps(
            {key: result[key] for key in ("judges", "misses_with_facts")}, ensure_ascii=False, indent=1
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(run(main, None))
