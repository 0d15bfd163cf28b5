"""``finrm evaluate``: a model's figures on graded data, beside baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from reward_model.arguments import OneLineParser, complain, refuse_overwriting
from reward_model.errors import InputError
from reward_model.jsonl import write_json, write_text
from reward_model.progress import progress_bar
from reward_model.report.evaluation_page import evaluation_page
from reward_model.report.evaluation_view import print_evaluation


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    parser = OneLineParser(prog="finrm evaluate", description="评估模型 (evaluate a model on graded data)")
    parser.add_argument("model", help="model directory")
    parser.add_argument("data", help="scored pairs or graded reports (JSONL)")
    add_outputs(parser)
    parser.add_argument("--train-data", metavar="F", help="what the baselines learn from")
    parser.add_argument("--unseen", action="store_true", help="leave out texts that the model was trained on")
    parser.add_argument("--seed", type=seed, default=0, help="of bootstrap and baselines (default 0)")
    options = parser.parse_args(arguments)
    refuse_overwriting([options.data, options.train_data], [options.json, options.html])
    from reward_model.evaluation import evaluate_model

    with progress_bar("评分") as progress:
        result, evaluation = evaluate_model(
            options.model,
            options.data,
            train_data=options.train_data,
            unseen=options.unseen,
            seed=options.seed,
            progress=progress,
        )
    present(result, evaluation.texts, json_path=options.json, html_path=options.html, lang=options.lang)
    return bad_lines_code(result, options.skip_bad)


def add_outputs(parser: OneLineParser) -> None:
    """The flags that ``evaluate`` and ``compare`` share."""
    parser.add_argument(
        "--json", metavar="F", help="write every figure as JSON; - is standard output (no tables)"
    )
    parser.add_argument("--html", metavar="F", help="write a page")
    parser.add_argument("--lang", choices=("zh", "en"), default="zh", help="language of the page")
    parser.add_argument("--skip-bad", action="store_true", help="exit 0 although lines are at fault")


def seed(text: str) -> int:
    """A seed as numpy and scikit-learn take it."""
    if not 0 <= (value := int(text)) < 2**32:
        raise ValueError
    return value


def bad_lines_code(result: Mapping[str, Any], skip_bad: bool) -> int:
    """The exit code: 2 if lines of the data were at fault, unless they may be."""
    if not result["bad_lines"] or skip_bad:
        return 0
    complain(f"{result['bad_lines']} lines were at fault and left out; correct them, or --skip-bad")
    return InputError.exit_code


def with_texts(result: Mapping[str, Any], texts: Sequence[Any]) -> dict[str, Any]:
    """The result with the texts of its worst errors, and of the other side of their pairs, for a page."""
    others = {(text.pair, text.side): text.text for text in texts if text.pair is not None}
    opposite = {"chosen": "rejected", "rejected": "chosen"}
    worst = []
    for found in result["worst"]:
        text = texts[found["row"]]
        other = others.get((text.pair, opposite.get(text.side or "", "")))
        worst.append({**found, "text": text.text, "other": other})
    return {**result, "worst": worst}


def present(
    result: dict[str, Any],
    texts: Sequence[Any],
    *,
    json_path: str | None,
    html_path: str | None,
    lang: str = "zh",
    console: Console | None = None,
) -> None:
    """Print an evaluation, and write it as JSON and as a page where asked.

    With "-" as ``json_path`` the JSON is all that is printed.
    """
    if json_path != "-":
        print_evaluation(result, console or Console())
    if json_path:
        write_json(json_path, result)
    if html_path:
        meta = {key: result.get(key) for key in ("model", "data", "split", "seed", "evidence")}
        if result.get("model"):
            meta["model"] = Path(str(result["model"])).name
        meta["baselines"] = result.get("baselines_fitted_on")
        meta["data"] = Path(str(result.get("data") or "")).name or None
        write_text(html_path, evaluation_page(with_texts(result, texts), lang=lang, meta=meta))
