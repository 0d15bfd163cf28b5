"""RewardScorer: the shipped model at work, and what holds for every model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models import CHARACTERS, write_base
from scorers import EXAMPLES, default_scorer, write_model

from reward_model import features as features_module
from reward_model.errors import InputError, ResourceError
from reward_model.inference import (
    NOT_CHINESE,
    SHORT,
    STYLE_ONLY,
    RewardScorer,
    Score,
    text_warnings,
)
from reward_model.reading import read_report
from reward_model.schema import Located, PairRecord

DIMENSIONS = ["depth", "professionalism", "accuracy"]
REPORT = (EXAMPLES / "report_good.md").read_text(encoding="utf-8")
SHALLOW = (EXAMPLES / "report_shallow.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"), "bert")


@pytest.fixture(scope="module")
def tiny_scorer(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RewardScorer]:
    """A factory of scorers on a tiny model with the given options."""

    def make(**options: Any) -> RewardScorer:
        folder = write_model(tmp_path_factory.mktemp("tiny") / "model", base=base, **options)
        return RewardScorer.from_pretrained(folder, device="cpu")

    return make


@pytest.fixture(scope="module")
def tiny(tiny_scorer: Callable[..., RewardScorer]) -> RewardScorer:
    return tiny_scorer(max_length=200)


# --- the shipped model --------------------------------------------------------------------------------------


def test_default_model_scores_the_shipped_examples_as_their_readme_says() -> None:
    good, shallow, wrong = default_scorer().score_batch(
        [read_report(path) for path in sorted(EXAMPLES.glob("report_*"))]
    )
    assert good.scores["depth"] == 4
    assert good.overall > max(wrong.overall, shallow.overall)
    assert wrong.scores["accuracy"] <= 2 < wrong.scores["depth"], (
        "it contradicts itself without statements too"
    )
    assert shallow.scores["depth"] <= 1
    assert 1 <= shallow.scores["professionalism"] <= 3


def test_default_model_prefers_the_better_report_of_each_degradation(corpus_records: list[Located]) -> None:
    pairs: dict[str, PairRecord] = {}
    for located in corpus_records:
        assert isinstance(located.record, PairRecord)
        defect = located.record.metadata.defect_metadata
        if defect.severity == "中度":
            pairs.setdefault(str(defect.degradation_type), located.record)
    assert len(pairs) == 5
    texts = [text for pair in pairs.values() for text in (pair.chosen, pair.rejected)]
    overall = [score.overall for score in default_scorer().score_batch(texts)]
    for name, chosen, rejected in zip(pairs, overall[::2], overall[1::2], strict=True):
        assert chosen > rejected + 0.05, name


def test_default_model_gives_a_text_the_same_score_alone_in_any_batch_and_order() -> None:
    scorer = default_scorer()
    # From a few tokens to three windows of the backbone.
    texts = [SHALLOW[:30], REPORT[:200], SHALLOW, (REPORT + SHALLOW)[:1800]]
    alone = [scorer.score(text).expected for text in texts]
    backwards = [score.expected for score in scorer.score_batch(texts[::-1])][::-1]
    narrow = RewardScorer(scorer.loaded, device="cpu", batch_tokens=600)
    small = [score.expected for score in narrow.score_batch(texts)]
    for one, *others in zip(alone, backwards, small, strict=True):
        for other in others:
            assert max(abs(one[dim] - other[dim]) for dim in DIMENSIONS) <= 1e-5


def test_default_model_reads_the_beginning_of_a_very_long_report_and_says_so() -> None:
    # No sentence twice: repetition is not read at all.
    count = math.ceil(200_000 / len(REPORT))
    text = "\n".join(REPORT.replace("。", f"（第{n}期）。") for n in range(count))
    score = default_scorer().score(text)
    assert 0 < score.coverage < 0.05
    assert "上限为 2048 个词元" in " ".join(score.warnings)


def test_default_model_reads_nothing_twice_and_says_so() -> None:
    once, twice = default_scorer().score_batch([REPORT, f"{REPORT}\n{REPORT}"], check=False)
    assert twice.expected["depth"] == pytest.approx(once.expected["depth"], abs=0.3)
    assert "未读" in " ".join(twice.warnings)
    assert "未读" not in " ".join(once.warnings)


def test_default_model_rewards_completions_as_trl_calls_it() -> None:
    reward = default_scorer().reward
    assert reward.__name__ == "reward"  # TRL logs each reward function under its name
    messages = [[{"role": "assistant", "content": text}] for text in (REPORT, "", SHALLOW)]
    values = reward(
        prompts=[[{"role": "user", "content": "请分析"}]] * 3,
        completions=messages,
        completion_ids=[[1], [], [2]],
        trainer_state=object(),
        solution=["", "", ""],
    )
    assert values[0] > values[2] > 0.0 == values[1]
    assert all(type(value) is float and 0 <= value <= 1 for value in values)


# --- what a score holds -------------------------------------------------------------------------------------


def test_a_score_as_a_dict_is_the_documented_line(tiny: RewardScorer) -> None:
    line = tiny.score(REPORT, id="年报").to_dict()
    assert list(line) == [
        *("id", "scores", "expected", "probabilities", "confidence"),
        *("overall", "coverage", "evidence", "warnings", "calc"),
    ]
    assert line["id"] == "年报"
    assert line["evidence"] == "off"
    assert line["calc"] is None
    for dim in DIMENSIONS:
        probabilities = line["probabilities"][dim]
        assert len(probabilities) == 5
        assert sum(probabilities) == pytest.approx(1, abs=5e-6)
        level = line["scores"][dim]
        assert type(level) is int
        assert line["confidence"][dim] == max(probabilities) == probabilities[level]
        assert line["expected"][dim] == pytest.approx(
            sum(level * p for level, p in enumerate(probabilities)), abs=2e-5
        )
    assert line["overall"] == pytest.approx(sum(line["expected"].values()) / 12, abs=2e-6)
    assert 0 <= line["overall"] <= 1
    assert json.loads(json.dumps(line, allow_nan=False)) == line


def test_dimensions_and_levels_are_the_models_own(tiny_scorer: Callable[..., RewardScorer]) -> None:
    score = tiny_scorer(rubric="financial_ten_level").score(REPORT)
    assert {dim: len(values) for dim, values in score.probabilities.items()} == dict.fromkeys(DIMENSIONS, 10)
    assert score.overall == pytest.approx(sum(score.expected.values()) / 27)


def test_confidence_is_calibrated_and_levels_are_not_changed_by_it(tiny: RewardScorer) -> None:
    logits, _ = tiny.logits([REPORT])
    temperatures = tiny.loaded.temperatures.tolist()
    assert temperatures[:2] == [1.5, 0.5]
    found = torch.tensor(tiny.probabilities([REPORT])[0])
    for d, temperature in enumerate(temperatures):
        wanted = (torch.tensor(logits[0, d], dtype=torch.float64) / temperature).softmax(-1)
        assert torch.allclose(found[d], wanted, atol=1e-6)
        assert found[d].argmax() == logits[0, d].argmax()


def test_results_stand_in_the_order_of_the_texts_and_carry_their_ids(tiny: RewardScorer) -> None:
    texts = ["净利润增长" * 9, "建议", "现金流净额下降。" * 4]
    found = tiny.score_batch(texts, ids=["c", "a", "b"])
    assert [score.id for score in found] == ["c", "a", "b"]
    for text, score in zip(texts, found, strict=True):
        assert tiny.score(text).expected == pytest.approx(score.expected, abs=1e-5)
    assert [score.id for score in tiny.score_batch(texts)] == ["1", "2", "3"]


def test_no_texts_give_no_scores(tiny: RewardScorer) -> None:
    assert tiny.score_batch([]) == []
    assert tiny.reward([]) == []


def test_ids_and_texts_of_other_number_are_refused(tiny: RewardScorer) -> None:
    with pytest.raises(ValueError):
        tiny.score_batch(["建议"], ids=["a", "b"])


@given(
    texts=st.lists(st.text(CHARACTERS, min_size=1, max_size=150).map("净".__add__), min_size=1, max_size=6),
    data=st.data(),
)
def test_any_batch_in_any_order_gives_the_scores_of_each_text_alone(
    tiny: RewardScorer, texts: list[str], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(texts))))
    scorer = RewardScorer(tiny.loaded, device="cpu", batch_tokens=data.draw(st.integers(1, 600)))
    together = scorer.score_batch([texts[index] for index in order])
    for index, score in zip(order, together, strict=True):
        alone = tiny.score(texts[index])
        assert max(abs(alone.expected[dim] - score.expected[dim]) for dim in DIMENSIONS) <= 1e-5


# --- warnings -----------------------------------------------------------------------------------------------


def test_every_score_says_that_no_figure_was_checked(tiny: RewardScorer) -> None:
    assert [score.warnings[0] for score in tiny.score_batch([REPORT, "建议"])] == [STYLE_ONLY] * 2


def test_a_cut_text_says_how_much_was_read(tiny: RewardScorer) -> None:
    score = tiny.score("净利润" * 100)
    assert score.coverage == pytest.approx(200 / 302)
    assert "66%" in score.warnings[1]
    assert "200" in score.warnings[1]


@pytest.mark.parametrize(("characters", "said"), [(200, "99%"), (60_000, "1%")])
def test_a_cut_text_is_never_said_to_be_read_whole_or_not_at_all(
    tiny: RewardScorer, characters: int, said: str
) -> None:
    score = tiny.score("增" * characters)
    assert score.coverage < 1
    assert f"开头 {said}" in score.warnings[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("净利润同比增长。" * 40, []),
        ("净利润同比增长。" * 4, [SHORT]),
        ("净 \n" * 199, [SHORT]),
        ("Revenue rose by 5%. " * 40, [NOT_CHINESE]),
        ("この会社のうりあげはふえました。" * 30, [NOT_CHINESE]),
        ("123,456.78 " * 40, [NOT_CHINESE]),
        ("EBITDA" * 2 + "净利润同比增长。" * 40, []),
        ("ok", [SHORT, NOT_CHINESE]),
    ],
)
def test_texts_unlike_what_the_model_learned_from_are_flagged(text: str, expected: list[str]) -> None:
    assert text_warnings(text) == expected


# --- what can't be scored -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", " \n\t\u3000", "\x1c", "\u200b\ufeff", "。。。！？", "😀" * 300, "---\n***"]
)
def test_a_text_without_words_is_refused_by_its_name(tiny: RewardScorer, text: str) -> None:
    with pytest.raises(InputError, match=r"^report 年报: holds no words; give the report's text$"):
        tiny.score_batch(["净利润", text], ids=["1", "年报"])


def test_rewards_of_completions_without_words_are_zero_and_stop_no_training(tiny: RewardScorer) -> None:
    values = tiny.reward(["净利润", "", "。。", " ", "建议"])
    assert values[1:4] == [0.0, 0.0, 0.0]
    assert values[0] == pytest.approx(tiny.score("净利润").overall, abs=1e-6)
    assert values[4] == pytest.approx(tiny.score("建议").overall, abs=1e-6)


def test_rewards_read_the_last_message_also_where_it_comes_in_parts(tiny: RewardScorer) -> None:
    talk = [{"role": "user", "content": "建议"}, {"role": "assistant", "content": "净利润增长"}]
    parts = [{"role": "assistant", "content": [{"type": "text", "text": "净利润"}, {"text": "增长"}]}]
    empty = [{"role": "assistant", "content": None}]
    assert tiny.reward(["净利润增长", talk, parts, empty]) == pytest.approx(
        [tiny.score("净利润增长").overall] * 3 + [0.0]
    )


@pytest.mark.parametrize("completion", [None, 3, [], ["text"], {"content": "净利润"}])
def test_rewards_of_what_is_no_completion_are_a_mistake_of_the_caller(
    tiny: RewardScorer, completion: Any
) -> None:
    with pytest.raises(TypeError, match="texts or lists of messages"):
        tiny.reward([completion])


# --- prompts ------------------------------------------------------------------------------------------------


def test_only_a_model_trained_with_prompts_reads_them(
    tiny: RewardScorer, tiny_scorer: Callable[..., RewardScorer]
) -> None:
    reading = tiny_scorer(include_prompt=True)
    assert (tiny.reads_prompts, reading.reads_prompts) == (False, True)
    assert tiny.score("净利润", prompt="负债上升").expected == tiny.score("净利润").expected
    with_prompt = reading.score("净利润", prompt="负债上升").expected
    assert with_prompt != pytest.approx(reading.score("净利润").expected, abs=1e-4)
    assert with_prompt == pytest.approx(reading.score("负债上升\n净利润").expected, abs=1e-6)


def test_rewards_pass_the_prompts_to_a_model_that_reads_them(
    tiny_scorer: Callable[..., RewardScorer],
) -> None:
    reading = tiny_scorer(include_prompt=True)
    conversation = [{"role": "system", "content": "分析"}, {"role": "user", "content": "负债上升"}]
    values = reading.reward(completions=["", "净利润", "净利润"], prompts=["建议", conversation, "负债上升"])
    wanted = reading.score("净利润", prompt="负债上升").overall
    assert values == pytest.approx([0.0, wanted, wanted], abs=1e-6)


# --- devices and models that can't be had -------------------------------------------------------------------


@pytest.mark.parametrize("device", ["nonsense", "cuda:77", "meta", "hpu", "cpu:x"])
def test_a_device_that_is_not_there_is_one_clear_line(tiny: RewardScorer, device: str) -> None:
    with pytest.raises(InputError) as error:
        RewardScorer(tiny.loaded, device=device)
    assert str(error.value).startswith(f"device {device}: ")
    assert str(error.value).endswith("name another, such as cpu")
    assert "\n" not in str(error.value)
    assert next(tiny.loaded.model.parameters()).device.type == "cpu", "the model was moved all the same"


def test_a_device_without_memory_is_a_resource_error(
    tiny: RewardScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB ...")

    monkeypatch.setattr(features_module, "compute_features", full)
    with pytest.raises(ResourceError, match=r"^device cpu: out of memory"):
        tiny.score("净利润")


@pytest.mark.parametrize("name", ["nowhere", "file.txt", "empty"])
def test_a_model_directory_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("no model")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=name):
        RewardScorer.from_pretrained(tmp_path / name)


def test_scoring_changes_nothing_in_the_model(tiny: RewardScorer) -> None:
    before = {name: value.clone() for name, value in tiny.loaded.model.state_dict().items()}
    first: Score = tiny.score(REPORT)
    assert tiny.score(REPORT) == first
    assert not tiny.loaded.model.training
    assert all(torch.equal(before[name], value) for name, value in tiny.loaded.model.state_dict().items())
