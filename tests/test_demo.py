"""``finrm demo``: its parts, and (slowly) the whole journey."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scorers import EXAMPLES, finrm, write_model
from tiny_bert import process_environment

from reward_model.commands import demo
from reward_model.inference import RewardScorer
from reward_model.jsonl import JsonlReader
from reward_model.rubric import load_rubric
from reward_model.samples import corpus_path, graded_texts, text_key
from reward_model.schema import Located


def test_examples_are_found_in_a_checkout() -> None:
    assert [path.name for path in demo.example_reports()] == [
        "report_good.md",
        "report_shallow.txt",
        "report_wrong_figures.docx",
    ]
    assert {path.parent for path in demo.example_reports()} == {EXAMPLES}


def test_examples_inside_an_installed_package_come_first_and_none_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "reward_model"
    (package / "commands").mkdir(parents=True)
    monkeypatch.setattr(demo, "__file__", str(package / "commands" / "demo.py"))
    assert demo.examples_dir() is None
    assert demo.example_reports() == []
    (package / "examples").mkdir()
    (package / "examples" / "report_b.md").write_text("净利润", encoding="utf-8")
    (package / "examples" / "README.md").write_text("no report", encoding="utf-8")
    (tmp_path / "site-packages" / "examples").mkdir()
    assert demo.example_reports() == [package / "examples" / "report_b.md"]


def test_held_out_writers_come_from_both_halves_of_the_corpus_and_leave_enough(
    corpus_records: list[Located],
) -> None:
    texts = graded_texts(corpus_records, load_rubric())
    counts = {
        writer: sum(text.slices["writer"] == writer for text in texts) for writer in demo.HELD_OUT_WRITERS
    }
    assert counts == {"llm-w4": 50, "llm-w8": 50}
    held = {text.group for text in texts if text.slices["writer"] in demo.HELD_OUT_WRITERS}
    rest = [text for text in texts if text.group not in held]
    assert len(rest) == 350


@pytest.mark.parametrize("where", ["file", "below a file", "folder that takes no files"])
def test_an_output_that_cannot_be_written_is_one_line(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, where: str
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    output = {"file": blocked, "below a file": blocked / "demo"}.get(where, Path("/proc/self"))
    ran = finrm(capfd, "demo", "--output", output)
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1
    assert str(output) in ran.err
    assert "cannot be written" in ran.err
    assert blocked.read_text() == "in the way"


def test_unknown_arguments_are_refused(capfd: pytest.CaptureFixture[str]) -> None:
    ran = finrm(capfd, "demo", "--lang", "fr")
    assert ran.code == 2
    assert "--lang" in ran.err


def test_pages_and_scores_are_written_in_the_language_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The journey with its expensive steps replaced: what comes of them reaches files and pages."""
    model = write_model(tmp_path / "model")
    scorer = RewardScorer.from_pretrained(model, device="cpu")
    asked: list[str] = []

    def evaluate(output: Path, console: Any, progress: Any, lang: str) -> dict[str, Any]:
        asked.append(lang)
        bounds = {"qwk": {"low": 0.1, "high": 0.9}}
        per_dim = {dim: {"qwk": 0.5, "intervals": bounds} for dim in scorer.rubric.names}
        dims = {dim: {"zh": dim, "en": dim} for dim in per_dim}
        return {"n": 100, "overall_accuracy": 0.7, "per_dim": per_dim, "dims": dims, "baselines": {}}

    def train(*_: Any) -> dict[str, Any]:
        return {"settings": {"base_model_name": "embedded"}, "n_train": 348, "seconds": 9.0}

    class Base:
        source = "here"

    monkeypatch.setattr("reward_model.backbone.resolve_base", lambda *_, **__: Base())
    monkeypatch.setattr(demo, "_train", train)
    monkeypatch.setattr(demo, "_evaluate", evaluate)
    monkeypatch.setattr(RewardScorer, "default", classmethod(lambda cls: scorer))
    output = tmp_path / "new" / "demo"
    ran = finrm(capfd, "demo", "--output", output, "--lang", "en")
    assert (ran.code, ran.err) == (0, "")
    assert [f"[{step}/7]" in ran.out for step in range(1, 8)] == [True] * 7
    assert str(output / "index.html") in ran.out
    assert asked == ["en"]
    page = (output / "index.html").read_text(encoding="utf-8")
    assert "On writers it never saw" in page
    assert "Generating and judging" in page
    generated = [row.value for row in JsonlReader(output / "generated" / "comparison_pairs_scored.jsonl")]
    assert len(generated) == 25
    kinds = {
        (
            pair["metadata"]["gold_metadata"]["quality_focus"],
            pair["metadata"]["defect_metadata"]["degradation_type"],
        )
        for pair in generated
    }
    assert len(kinds) == 25, "every focus with every degradation"
    scores = json.loads((output / "scores.json").read_text(encoding="utf-8"))
    assert [line["id"] for line in scores] == [path.name for path in demo.example_reports()]
    assert all(line["id"] in page for line in scores)
    assert len(list(JsonlReader(output / "filtered_pairs.jsonl"))) == 224


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_whole_journey(tmp_path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("finrm"), "demo", "--output", "out"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        # All cores: process_environment() leaves the scripts one.
        env={key: value for key, value in process_environment().items() if key != "OMP_NUM_THREADS"},
        timeout=1700,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    output = tmp_path / "out"
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert {path.name for path in output.iterdir()} == {
        *("index.html", "evaluation.html", "evaluation.json", "scores.json"),
        *("model", "generated", "filtered_pairs.jsonl", "held_out_pairs.jsonl"),
    }

    training = json.loads((output / "model" / "training.json").read_text(encoding="utf-8"))
    held = {
        text_key(row.value[side])
        for row in JsonlReader(corpus_path())
        if row.value["metadata"]["model"] in demo.HELD_OUT_WRITERS
        for side in ("chosen", "rejected")
    }
    assert len(held) == 100
    assert not held & set(training["train_texts"])
    assert training["n_train"] == len(training["train_texts"]) == 348

    result = json.loads((output / "evaluation.json").read_text(encoding="utf-8"))
    assert result["n"] == 100
    assert set(result["slices"]["writer"]) == set(demo.HELD_OUT_WRITERS)
    assert result["warnings"] == []
    assert "348 texts that the model was trained on" in result["baselines_fitted_on"]
    assert result["per_dim"]["depth"]["qwk"] > 0.8
    assert result["per_dim"]["professionalism"]["qwk"] > 0.7
    assert result["overall_accuracy"] > result["baselines"]["length"]["overall_accuracy"]

    scores = {line["id"]: line for line in json.loads((output / "scores.json").read_text(encoding="utf-8"))}
    assert scores["report_good.md"]["overall"] > scores["report_shallow.txt"]["overall"]
    assert "在没见过的写作者上" in (output / "index.html").read_text(encoding="utf-8")
    assert RewardScorer.from_pretrained(output / "model", device="cpu").score("净利润").coverage == 1
