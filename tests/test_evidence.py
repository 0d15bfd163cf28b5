"""The checker's findings in the heads: regimes, versions, training, scoring."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from models import loaded_model, save
from scorers import finrm
from tiny_bert import write_tiny_bert

from reward_model.calc.check import check_text
from reward_model.calc.evidence import FEATURES, WORST, evidence_vector, relative_error
from reward_model.errors import InputError
from reward_model.evidence import (
    EVIDENCE_FEATURES,
    EVIDENCE_SIZE,
    EVIDENCE_VERSION,
    REGIMES,
    evidence_rows,
    find_facts,
    require_version,
)
from reward_model.heads import head_inputs
from reward_model.inference import RewardScorer
from reward_model.modeldir import load_model
from reward_model.samples import GradedText
from reward_model.schema import FactSheet
from reward_model.train_multidim import settings_from, train

pytest_plugins = ["fixtures_models"]
FACTS = FactSheet(
    unit="亿元", periods=["2023", "2024"], items={"营业收入": [100.0, 120.0], "营业成本": [60.0, 66.0]}
)
RIGHT = "2024年营业收入120.00亿元，同比增长20.00%，毛利率45.00%。"
WRONG = "2024年营业收入120.00亿元，同比增长26.00%，毛利率38.00%。"
TABLE = (
    "按框架写报告\n（单位：亿元）\n| 项目 | 2023 | 2024 |\n|---|---|---|\n| 营业收入 | 100.00 | 120.00 |\n"
)


def graded(text: str, facts: FactSheet | None = None, prompt: str | None = None, n: int = 0) -> GradedText:
    return GradedText(
        str(n), text, (n % 5, 4, 0 if text == WRONG else 4), f"g{n}", prompt=prompt, facts=facts
    )


def test_the_vector_has_a_name_for_each_value_and_grows_with_the_errors() -> None:
    assert EVIDENCE_SIZE == len(EVIDENCE_FEATURES) == len(set(EVIDENCE_FEATURES))
    right, wrong = (
        dict(zip(FEATURES, evidence_vector(check_text(t, FACTS)), strict=True)) for t in (RIGHT, WRONG)
    )
    assert right["wrong_1"] == right["log_wrong"] == right["worst_error"] == 0
    assert (wrong["wrong_1"], wrong["wrong_2"], wrong["wrong_3"]) == (1, 1, 0)
    assert wrong["wrong_share"] == pytest.approx(2 / 3)
    assert wrong["worst_error"] == pytest.approx(0.3)
    assert right["checked_share"] == wrong["checked_share"] == 1
    assert all(0 <= value <= 10 for value in wrong.values())
    empty = evidence_vector(check_text("没有数字", FACTS))
    assert np.isfinite(empty).all()


def test_an_error_that_nothing_is_known_of_counts_as_large() -> None:
    claim = check_text(WRONG, FACTS).wrong[0]
    assert relative_error(claim) == pytest.approx(0.3)
    assert relative_error(replace(claim, recomputed=None)) == WORST
    assert relative_error(replace(claim, stated="1,000.0%", recomputed="0.1%")) == WORST


def test_rows_of_each_regime_are_checked_anew() -> None:
    rows = evidence_rows([graded(WRONG, FACTS), graded(WRONG), graded(WRONG, prompt=TABLE)])
    assert list(rows) == list(REGIMES)
    n = len(FEATURES)
    assert rows["off"][:, :n].any() == np.False_
    assert (rows["off"][:, n:] == rows["facts"][:, n:]).all(), "order is known whether figures are or not"
    assert rows["facts"][0, 0] == 1
    assert rows["text"][0, 0] == 0, "without facts nothing here contradicts itself"
    assert (rows["facts"][1] == rows["text"][1]).all(), "there are no facts to have"
    assert rows["facts"][2, 0] == 1, "a table in the prompt counts as facts"
    assert (rows["facts"][:, -1] == 1).all()


def test_facts_are_found_in_a_prompt_unless_they_are_given() -> None:
    found = find_facts(None, TABLE)
    assert found is not None
    assert found.items["营业收入"] == [100.0, 120.0]
    assert find_facts(FACTS, TABLE) is FACTS
    assert find_facts(None, "写一份报告") is None


def test_another_version_is_refused() -> None:
    require_version(0, None, "m")
    require_version(EVIDENCE_SIZE, EVIDENCE_VERSION, "m")
    for size, version in ((EVIDENCE_SIZE, "0"), (EVIDENCE_SIZE + 1, EVIDENCE_VERSION), (4, None)):
        with pytest.raises(InputError, match="m: takes evidence"):
            require_version(size, version, "m")


def test_inputs_are_taken_apart() -> None:
    rows = torch.arange(12.0).view(2, 6)
    assert list(head_inputs(rows, 6)) == ["features"]
    parts = head_inputs(rows, 3)
    assert parts["features"].tolist() == [[0, 1, 2], [6, 7, 8]]
    assert parts["evidence"].tolist() == [[3, 4], [9, 10]]
    assert parts["evidence_mask"].tolist() == [5, 11]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Heads on a tiny frozen base, trained on texts that differ in nothing but their figures."""
    folder = tmp_path_factory.mktemp("evidence")
    base = write_tiny_bert(folder / "base")
    texts = [graded(RIGHT if n % 2 else WRONG, FACTS, n=n) for n in range(24)]
    settings = settings_from(
        {"base_model_name": str(base), "output_dir": str(folder / "model"), "val_fraction": 0.0},
        {},
        preset="frozen",
    )
    return train(settings, train_texts=texts, eval_texts=[]).path


def test_heads_learn_from_the_evidence_and_say_which_regime_applied(trained: Path) -> None:
    scorer = RewardScorer.from_pretrained(trained)
    assert set(scorer.regimes) == {"facts", "text"}
    by_facts = [scorer.score(text, facts=FACTS) for text in (RIGHT, WRONG)]
    assert [score.evidence for score in by_facts] == ["facts", "facts"]
    assert by_facts[0].expected["accuracy"] - by_facts[1].expected["accuracy"] > 0.5
    assert by_facts[1].calc is not None
    assert by_facts[1].calc["summary"]["wrong"] == 2
    assert not any("没有报表" in line for line in by_facts[0].warnings)
    alone = scorer.score(WRONG)
    assert alone.evidence == "text"
    assert any("没有报表" in line for line in alone.warnings)
    off = scorer.score(WRONG, facts=FACTS, check=False)
    assert (off.evidence, off.calc) == ("off", None)
    assert scorer.score(WRONG, prompt=TABLE).evidence == "facts"
    rewards = scorer.reward([RIGHT, WRONG], facts=[FACTS.model_dump(), FACTS])
    assert rewards[0] > rewards[1]


def test_the_command_scores_with_facts_and_without(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    report, facts = tmp_path / "r.md", tmp_path / "f.json"
    report.write_text(WRONG, encoding="utf-8")
    facts.write_text(json.dumps(FACTS.model_dump(), ensure_ascii=False), encoding="utf-8")
    given = ("score", report, "--model", trained)
    lines = {}
    for name, more in {"facts": ("--facts", facts), "text": (), "off": ("--no-check",)}.items():
        ran = finrm(capfd, *given, *more, "--json")
        assert ran.code == 0
        lines[name] = json.loads(ran.out)
        assert lines[name]["evidence"] == name
    assert lines["off"]["calc"] is None
    assert lines["facts"]["calc"]["summary"]["wrong"] == 2
    assert lines["facts"]["expected"]["accuracy"] < lines["text"]["expected"]["accuracy"]
    shown = finrm(capfd, *given, "--facts", facts)
    assert "→ 20.00%" in shown.out
    told = finrm(capfd, *given, "--facts", facts, "--no-check")
    assert "--facts 未使用" in told.err


def test_a_model_without_the_regimes_calibration_is_refused(bases: dict[str, Path], tmp_path: Path) -> None:
    loaded = loaded_model(bases["bert"], evidence_size=EVIDENCE_SIZE, evidence_version=EVIDENCE_VERSION)
    folder = save(loaded, tmp_path / "m", bases["bert"], frozen=False)
    assert set(load_model(folder).regimes) == {"facts", "text"}
    path = folder / "calibration.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    for broken in ({}, {"facts": value["temperatures"]}, {"facts": {}, "text": {}}):
        path.write_text(json.dumps({**value, "regimes": broken}), encoding="utf-8")
        with pytest.raises(InputError, match=r"calibration\.json"):
            load_model(folder)


def test_a_figure_said_twice_counts_once() -> None:
    once, twice, both = (evidence_vector(check_text(t, FACTS)) for t in (WRONG, WRONG + WRONG, WRONG + RIGHT))
    assert twice == once
    assert both != once
