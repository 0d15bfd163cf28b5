"""Judging: blind, medians, failures as null, agreement, planted controls, the judge card."""

from __future__ import annotations

import asyncio
import io
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from financial_chat import degraded, golds
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from reward_model.calc.check import check_text
from reward_model.data.controls import PLEAS, ControlSample, control_figures, judge_controls
from reward_model.data.judge_card import CardBuilder
from reward_model.data.judge_run import pairs_of
from reward_model.data.judging import (
    JudgedText,
    JudgeTally,
    JudgingSettings,
    PairToJudge,
    failure_kind,
    judge_pairs,
    median_level,
)
from reward_model.data.llm_judge import _Reader
from reward_model.jsonl import JsonlReader
from reward_model.llm import AnswerError
from reward_model.report.judge_card_view import print_judge_card
from reward_model.rubric import load_rubric
from reward_model.samples import IGNORED, corpus_path
from reward_model.schema import read_pairs
from reward_model.stats.agreement import agreement, krippendorff_alpha
from reward_model.tasks import JudgeCase, Judgement

RUBRIC = load_rubric()
Levels = Callable[[JudgeCase, int], dict[str, int | None]]


class Scripted:
    """A judge whose levels are a function of the case and the vote."""

    def __init__(
        self, levels: Levels, name: str = "scripted", wrong: Callable[[JudgeCase], list[str]] | None = None
    ) -> None:
        self.levels, self.name, self.wrong = levels, name, wrong or (lambda case: [])
        self.seen: list[JudgeCase] = []

    async def judge(self, case: JudgeCase, *, vote: int = 0) -> Judgement:
        self.seen.append(case)
        await asyncio.sleep(random.random() * 0.002)
        levels = self.levels(case, vote)
        failed = any(level is None for level in levels.values())
        return Judgement(
            self.name,
            levels,
            {name: f"{name}的理由。" for name, level in levels.items() if level is not None},
            tuple(self.wrong(case)),
            "schema: no JSON" if failed else None,
        )


def same(depth: int, professionalism: int, accuracy: int) -> Levels:
    return lambda case, vote: {"depth": depth, "professionalism": professionalism, "accuracy": accuracy}


def pairs_file(path: Path, count: int = 6) -> Path:
    rows = []
    for number, (framework, gold) in enumerate(golds().values()):
        if number == count:
            break
        text, faults = degraded(gold, "浅化深度", framework.fact_sheet)
        rows.append(
            {
                "prompt": framework.prompt(),
                "chosen": gold,
                "rejected": text,
                "metadata": {
                    "id": f"p{number}",
                    "field": framework.field,
                    "defect_metadata": {"degradation_type": "浅化深度", "defects": faults},
                    "fact_sheet": framework.fact_sheet.model_dump(),
                },
                "mine": {"kept": True},
            }
        )
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def judge(source: Path, judges: list[Scripted], out: Path, **given: Any):
    see = given.pop("see", None)
    return asyncio.run(
        judge_pairs(
            pairs_of(JsonlReader(source)), judges, RUBRIC, out, settings=JudgingSettings(**given), see=see
        )
    )


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("levels", "kept"),
    [
        ([3], 3),
        ([1, 4], 3),
        ([1, 2], 2),
        ([0, 1], 1),
        ([4, 0, 1], 1),
        ([1, 2, 3, 4], 3),
        ([None, 2], 2),
        ([None], None),
        ([], None),
    ],
)
def test_medians_round_halves_up(levels: list[int | None], kept: int | None) -> None:
    assert median_level(levels) == kept


@given(st.lists(st.integers(0, 9), min_size=1))
def test_medians_agree_with_numpy(levels: list[int]) -> None:
    assert median_level(levels) == math.floor(float(np.median(levels)) + 0.5)


def test_scored_pairs_are_the_guides_and_keep_what_was_there(tmp_path: Path) -> None:
    source, out = pairs_file(tmp_path / "pairs.jsonl"), tmp_path / "scored.jsonl"
    gold_texts = {gold for _, gold in golds().values()}

    def levels(case: JudgeCase, vote: int) -> dict[str, int | None]:
        good = case.text in gold_texts
        return {"depth": 4 if good else 1, "professionalism": 3, "accuracy": 4 - vote}

    judges = [Scripted(levels, "a"), Scripted(levels, "b")]
    tally = judge(source, judges, out, votes=2)
    assert (tally.pairs, tally.texts, tally.judgements) == (6, 12, 48)
    reader = JsonlReader(out)
    assert len(list(read_pairs(reader, RUBRIC))) == 6
    assert not reader.problems
    for before, after in zip(lines(source), lines(out), strict=True):
        scores = after.pop("scores")
        assert after == before
        assert scores["chosen"] == {"depth": 4, "professionalism": 3, "accuracy": 4}
        assert scores["rejected"] == {"depth": 1, "professionalism": 3, "accuracy": 4}
        assert scores["reasoning"]["depth"] == "黄金响应：depth的理由；缺陷响应：depth的理由"
        for side in ("chosen", "rejected"):
            given_levels = [(j["model"], j["accuracy"]) for j in scores["judgements"][side]]
            assert given_levels == [("a", 4), ("a", 3), ("b", 4), ("b", 3)]


def test_a_judge_gets_one_text_and_no_word_of_the_pair(tmp_path: Path) -> None:
    source = pairs_file(tmp_path / "pairs.jsonl")
    spy = Scripted(same(4, 4, 4))
    judge(source, [spy], tmp_path / "out.jsonl")
    rows = lines(source)
    assert {case.text for case in spy.seen} == {row[side] for row in rows for side in ("chosen", "rejected")}
    assert len(spy.seen) == 12
    for case in spy.seen:
        held = json.dumps([case.text, case.prompt], ensure_ascii=False)
        assert "浅化深度" not in held
        others = [row[side] for row in rows for side in ("chosen", "rejected") if row[side] != case.text]
        assert not any(other in held for other in others)


def test_texts_come_in_an_order_drawn_by_the_seed(tmp_path: Path) -> None:
    source = pairs_file(tmp_path / "pairs.jsonl", 12)
    orders, files = [], []
    for number, seed in enumerate((0, 0, 1)):
        spy = Scripted(same(4, 4, 4))
        out = tmp_path / f"{number}.jsonl"
        judge(source, [spy], out, seed=seed, workers=1)
        orders.append([case.text for case in spy.seen])
        files.append(out.read_bytes())
    assert orders[0] == orders[1] != orders[2]
    assert files[0] == files[1] == files[2]
    sides = [
        "chosen" if text in {row["chosen"] for row in lines(source)} else "rejected" for text in orders[0]
    ]
    assert sides != ["chosen", "rejected"] * 12


def test_a_failure_is_null_with_a_reason_and_never_a_number(tmp_path: Path) -> None:
    source, out = pairs_file(tmp_path / "pairs.jsonl", 3), tmp_path / "scored.jsonl"
    bad = lines(source)[1]["rejected"]

    def levels(case: JudgeCase, vote: int) -> dict[str, int | None]:
        if case.text == bad:
            return {"depth": None, "professionalism": 2, "accuracy": None}
        return {"depth": 4, "professionalism": 4, "accuracy": 4}

    tally = judge(source, [Scripted(levels)], out)
    assert (tally.texts, tally.partial, tally.failed) == (5, 1, 0)
    assert dict(tally.failures) == {"schema": 1}
    scores = lines(out)[1]["scores"]
    assert scores["rejected"] == {"depth": None, "professionalism": 2, "accuracy": None}
    assert "未能评判（schema: no JSON）" in scores["reasoning"]["depth"]
    assert scores["judgements"]["rejected"][0]["failure"] == "schema: no JSON"
    # One judge's failure doesn't cost the text its level where another judged it.
    judge(source, [Scripted(levels), Scripted(same(1, 1, 1))], out)
    assert lines(out)[1]["scores"]["rejected"] == {"depth": 1, "professionalism": 2, "accuracy": 1}
    reader = JsonlReader(out)
    assert len(list(read_pairs(reader, RUBRIC))) == 3
    assert not reader.problems


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ("schema: no JSON", "schema"),
        ("depth: content_filter: data_inspection_failed", "content_filter"),
        ("odd", "odd"),
    ],
)
def test_failures_are_counted_by_kind(failure: str, kind: str) -> None:
    assert failure_kind(failure) == kind


READER = _Reader(RUBRIC.dimensions)
SOUND = {
    "wrong_numbers": ["写了1，应为2"],
    "reasons": {"depth": "a", "professionalism": "b", "accuracy": "c"},
    "levels": {"depth": 4, "professionalism": 0, "accuracy": 2},
}


def test_a_sound_answer_is_read() -> None:
    read = READER(json.dumps(SOUND))
    assert read.levels == SOUND["levels"]
    assert read.wrong == ("写了1，应为2",)
    assert READER(json.dumps({**SOUND, "levels": {**SOUND["levels"], "depth": 3.0}})).levels["depth"] == 3
    assert READER(json.dumps({**SOUND, "wrong_numbers": None})).wrong == ()


@pytest.mark.parametrize("level", [5, -1, 2.5, "4", None, True, [4], 1e999, {}])
def test_what_is_no_level_is_never_made_one(level: Any) -> None:
    with pytest.raises(AnswerError, match=r"levels\.depth"):
        READER(json.dumps({**SOUND, "levels": {**SOUND["levels"], "depth": level}}))


@pytest.mark.parametrize(
    "answer",
    ["", "4", "[]", "{", '{"levels": 4}', '{"levels": {}}', json.dumps({**SOUND, "reasons": {}}), "[" * 9999],
)
def test_what_is_no_judgement_is_told_to_the_model(answer: str) -> None:
    with pytest.raises(AnswerError):
        READER(answer)


# -- agreement


def test_agreement_of_the_corpus_is_what_its_card_says() -> None:
    ratings: dict[str, list[list[int]]] = {name: [[], []] for name in RUBRIC.names}
    for line in corpus_path().read_text(encoding="utf-8").splitlines():
        for side in ("chosen", "rejected"):
            for row, judged in enumerate(json.loads(line)["scores"]["judgements"][side]):
                for name in RUBRIC.names:
                    ratings[name][row].append(judged[name])
    for name, expected, exact in (
        ("depth", 0.944, 0.82),
        ("professionalism", 0.926, 0.80),
        ("accuracy", 0.976, 0.95),
    ):
        figures = agreement(ratings[name], 5)
        assert figures["texts"] == 450
        assert figures["qwk"] == pytest.approx(expected, abs=5e-4)
        assert figures["exact"] == pytest.approx(exact, abs=5e-3)


def test_alpha_of_the_textbook_and_of_nothing() -> None:
    # Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: interval alpha 0.849.
    none = IGNORED
    data = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, none, none, none],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, none, 3],
        [none, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, none],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, none],
    ]
    assert krippendorff_alpha(data) == pytest.approx(0.849, abs=5e-4)
    assert krippendorff_alpha([[1, 1, 1], [1, 1, 1]]) is None
    assert krippendorff_alpha([[1, none], [none, 2]]) is None
    assert agreement([[1, none], [none, 2]], 5) == {
        "texts": 0,
        "qwk": None,
        "exact": None,
        "within_1": None,
        "alpha": None,
    }


# -- controls and the card


def run_with_controls(
    tmp_path: Path, judges: list[Scripted], size: int = 4, votes: int = 1
) -> tuple[dict[str, Any], list[Any]]:
    source = pairs_file(tmp_path / "pairs.jsonl", 10)
    sample = ControlSample(size, 0, RUBRIC)
    builder = CardBuilder(RUBRIC, [item.name for item in judges], votes)

    def see(text: JudgedText) -> None:
        builder.see(text)
        sample.see(text)

    tally = judge(source, judges, tmp_path / "out.jsonl", votes=votes, see=see)
    results = asyncio.run(judge_controls(sample.planted(), judges, votes))
    return builder.card(tally, results, {}), results


def careful(case: JudgeCase, vote: int) -> dict[str, int | None]:
    return {"depth": 3, "professionalism": 3, "accuracy": 1 if check_text(case.text, case.facts).wrong else 4}


def test_a_careful_judge_passes_its_controls(tmp_path: Path) -> None:
    def named(case: JudgeCase) -> list[str]:
        return [
            f"写了{claim.text}，应为{claim.recomputed}" for claim in check_text(case.text, case.facts).wrong
        ]

    judge_ = Scripted(careful, wrong=named)
    card, results = run_with_controls(tmp_path, [judge_])
    assert set(card["controls"]) == {"identical", "shuffled", "padded", "injected", "figures"}
    for kind in ("identical", "padded", "injected"):
        for change in card["controls"][kind]["per_dim"].values():
            assert change["mean_change"] == 0
    # The checker itself names seven of the twelve.
    assert card["controls"]["figures"]["recall"] > 0.5
    assert card["controls"]["figures"]["caught"] == 1
    assert card["controls"]["figures"]["per_dim"]["accuracy"]["mean_change"] == -3
    assert card["attention"] == []
    by_kind = {result.planted.kind: result.planted for result in results}
    assert PLEAS[0] in by_kind["injected"].case.text
    assert by_kind["identical"].case.text == by_kind["identical"].source.case.text
    assert by_kind["shuffled"].case.text != by_kind["shuffled"].source.case.text
    before, after = by_kind["shuffled"].source.case.text, by_kind["shuffled"].case.text
    assert sorted("".join(before.split())) == sorted("".join(after.split()))


def test_a_swayed_and_blind_judge_is_called_so(tmp_path: Path) -> None:
    def swayed(case: JudgeCase, vote: int) -> dict[str, int | None]:
        plea = PLEAS[0] in case.text
        return {"depth": 4 if plea else 2, "professionalism": 2, "accuracy": 4}

    card, _ = run_with_controls(tmp_path, [Scripted(swayed)])
    assert card["controls"]["injected"]["per_dim"]["depth"] == {
        "mean_change": 2.0,
        "raised": 1.0,
        "unchanged": 0.0,
    }
    assert card["controls"]["figures"]["recall"] == 0
    said = "\n".join(card["attention"])
    assert "文中要求给满分后有 100% 的分数上升" in said
    assert "植入的错误数字只指出了 0%" in said


def test_the_card_tells_agreement_and_disagreement(tmp_path: Path) -> None:
    def noise(case: JudgeCase, vote: int) -> dict[str, int | None]:
        rng = random.Random(f"{case.text}{vote}")
        return {name: rng.randint(0, 4) for name in RUBRIC.names}

    card, _ = run_with_controls(tmp_path, [Scripted(noise, "a"), Scripted(noise, "b")], votes=2)
    assert card["agreement"]["raters"] == 4
    # Both judges follow one draw, so that only the votes differ.
    assert 0.2 < card["agreement"]["per_dim"]["depth"]["exact"] < 0.9
    assert any("一致度偏低" in line for line in card["attention"])


def test_no_controls_no_calls(tmp_path: Path) -> None:
    judge_ = Scripted(same(4, 4, 4))
    card, _ = run_with_controls(tmp_path, [judge_], size=0)
    assert card["controls"] == {}
    assert len(judge_.seen) == 20


def test_controls_are_the_same_whatever_order_texts_come_in(tmp_path: Path) -> None:
    source = pairs_file(tmp_path / "pairs.jsonl", 10)
    texts: list[JudgedText] = []
    judge(source, [Scripted(same(3, 3, 4))], tmp_path / "out.jsonl", see=texts.append)
    made = []
    for order in (texts, texts[::-1]):
        sample = ControlSample(3, 5, RUBRIC)
        for text in order:
            sample.see(text)
        made.append([(item.kind, item.source.id, item.case.text) for item in sample.planted()])
    assert made[0] == made[1]
    assert len(made[0]) == 15


def test_a_control_that_fails_is_counted_apart(tmp_path: Path) -> None:
    def levels(case: JudgeCase, vote: int) -> dict[str, int | None]:
        return dict.fromkeys(RUBRIC.names, None if PLEAS[0] in case.text else 4)

    _, results = run_with_controls(tmp_path, [Scripted(levels)])
    injected = control_figures(results, RUBRIC)["injected"]
    assert (injected.judged, injected.failed, injected.to_dict()["per_dim"]) == (0, 4, {})


@given(st.sampled_from([load_rubric(), load_rubric("financial_ten_level")]))
@settings(max_examples=4, deadline=None)
def test_the_card_is_shown_in_eighty_columns(rubric: Any) -> None:
    builder = CardBuilder(rubric, ["很长的裁判名字-" * 3, "b"], 1)
    levels = dict.fromkeys(rubric.names, 1)
    judgement = Judgement("a", levels)
    for number in range(5):
        builder.see(
            JudgedText(str(number), "chosen", JudgeCase("文" * number), (judgement, judgement), levels)
        )
    tally = JudgeTally(texts=5, pairs=2)
    tally.failures["content_filter"] = 3
    card = builder.card(tally, [], {})
    assert json.loads(json.dumps(card, allow_nan=False)) == card
    console = Console(width=80, record=True, file=io.StringIO())
    print_judge_card(card, console)
    text = console.export_text()
    for title in rubric.titles.values():
        assert title in text
    assert "content_filter 3" in text


def test_pairs_are_read_whatever_scores_they_carry(tmp_path: Path) -> None:
    source = pairs_file(tmp_path / "pairs.jsonl", 2)
    rows = lines(source)
    rows[0]["scores"] = {"chosen": {"style": 77}, "rejected": {"style": 1}}
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    source.write_text(text + '{"text": "一篇报告"}\n{"chosen": 1}\n', encoding="utf-8")
    reader = JsonlReader(source)
    found: list[PairToJudge] = list(pairs_of(reader))
    assert [item.id for item in found] == ["p0", "p1"]
    assert all("scores" not in item.value for item in found)
    assert {problem.line for problem in reader.problems} == {3, 4}
