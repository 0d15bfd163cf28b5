"""Known edits: what is edited is wrong, and nothing else is."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.augmentation import PADDINGS, augmented, pad
from reward_model.calc.check import check_text
from reward_model.dataset_multidim import load_texts
from reward_model.degrade import passages
from reward_model.degrade.figures import corrupt_figures
from reward_model.errors import InputError
from reward_model.rubric import Rubric, load_rubric, parse_rubric
from reward_model.samples import IGNORED, corpus_path
from reward_model.tasks import Framework

TEXTS = load_texts(corpus_path(), load_rubric())
GOLDS = [text for text in TEXTS if text.side == "chosen"]


def differing(one: str, other: str) -> bool:
    return "".join(one.split()) != "".join(other.split())


@pytest.mark.parametrize("wrong", [1, 2, 8])
def test_edits_are_where_they_say_and_nothing_else_changes(wrong):
    for text in GOLDS[:12]:
        made = corrupt_figures(text.text, text.facts, wrong=wrong, seed=3)
        assert len(made.edits) == wrong
        back, end = [], 0
        for edit in made.edits:
            assert made.text[slice(*edit.span)] == edit.became != edit.was
            back += [made.text[end : edit.span[0]], edit.was]
            end = edit.span[1]
        assert "".join([*back, made.text[end:]]) == text.text


def test_the_checker_finds_most_edits():
    edits = found = 0
    for text in GOLDS[:40]:
        made = corrupt_figures(text.text, text.facts, wrong=4, seed=1)
        wrong = [claim.span for claim in check_text(made.text, text.facts).wrong]
        edits += len(made.edits)
        found += sum(any(a < edit.span[1] and edit.span[0] < b for a, b in wrong) for edit in made.edits)
    assert edits == 160
    # The rest is mostly left alone as 口径不明确: the checker rather misses an error than invents one.
    assert found / edits > 0.75


def test_unit_slips_leave_the_number():
    text = next(text for text in GOLDS if "个百分点" in text.text)
    made = corrupt_figures(text.text, text.facts, slips=1, seed=1)
    (edit,) = made.edits
    assert edit.kind == "unit"
    assert edit.was.replace("个百分点", "%") == edit.became


def test_a_text_without_figures_is_left_alone():
    made = corrupt_figures("公司经营稳健，前景广阔。", GOLDS[0].facts, wrong=8)
    assert made.text == "公司经营稳健，前景广阔。"
    assert not made.edits


@given(st.text(alphabet="甲乙。！？\n 」1", max_size=60), st.integers(0, 99))
@settings(max_examples=200)
def test_shuffling_loses_no_character(text, seed):
    assert sorted(passages.shuffle_sentences(text, seed)) == sorted(text)
    assert "".join("".join(passages.sentences(line)) for line in text.split("\n")) == text.replace("\n", "")


@given(st.text(alphabet="甲乙。\n", min_size=1, max_size=80), st.floats(0.05, 1))
@settings(max_examples=200)
def test_the_first_part_is_a_prefix(text, share):
    part = passages.first_part(text, share)
    assert text.startswith(part)


def test_the_first_quarter_is_about_a_quarter():
    shares = [len(passages.first_part(text.text, 0.25)) / len(text.text) for text in GOLDS]
    assert max(shares) < 0.3
    assert sum(shares) / len(shares) > 0.15


@pytest.mark.parametrize("kind", PADDINGS)
def test_padding_keeps_every_sentence(kind):
    text = GOLDS[0].text
    padded = pad(text, kind, 5)
    assert padded != text
    for sentence in passages.sentences(text.replace("\n", "")):
        assert sentence in padded.replace("\n", "")


def test_augmented_texts_have_the_rubrics_levels():
    rubric = load_rubric()
    made = augmented(TEXTS[:60], rubric, seed=1)
    by_kind = {}
    origins = {text.id: text for text in TEXTS}
    for text in made:
        origin = origins[text.made_from]
        assert text.group == origin.group
        assert text.pair is None
        assert differing(text.text, origin.text) or "blank" in text.id
        kind = text.id.split("~")[1].rstrip("0123456789+")
        by_kind.setdefault(kind, []).append((text, origin))
    for text, origin in by_kind["shuffled"]:
        assert text.labels == (IGNORED, min(1, origin.labels[1]), IGNORED)
    for text, origin in by_kind["cut"]:
        assert text.labels == (min(2, origin.labels[0]), IGNORED, IGNORED)
    levels = {text.labels[2] for text, _ in by_kind["figures"]}
    assert levels == {0, 1}, "the levels that the data hardly has"
    assert all(text.labels[:2] == (IGNORED, IGNORED) for text, _ in by_kind["figures"])
    for kind in PADDINGS:
        assert all(text.labels == origin.labels for text, origin in by_kind.get(kind, []))
        assert all(text.votes == origin.votes for text, origin in by_kind.get(kind, []))
    for kind in ("figures", "shuffled", "cut"):
        # Votes that were cast on other labels must not be learned.
        assert all(text.votes is None for text, origin in by_kind[kind] if text.labels != origin.labels)


def test_augmentation_is_the_same_each_time_and_differs_by_seed():
    rubric = load_rubric()
    one, again, other = (augmented(TEXTS[:6], rubric, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert [text.text for text in one] != [text.text for text in other]


def test_only_the_kinds_asked_for_are_made():
    rubric = load_rubric()
    assert augmented(TEXTS[:20], rubric, ()) == []
    assert {text.id.split("~")[1] for text in augmented(TEXTS[:20], rubric, ("cut",))} == {"cut"}


def test_a_rubric_without_known_edits_gives_padding_only():
    plain = load_rubric().model_copy(update={"known_edits": None})
    kinds = {text.id.split("~")[1] for text in augmented(TEXTS[:20], plain)}
    assert kinds <= set(PADDINGS)


def rubric_with(**edits) -> Rubric:
    value = load_rubric().model_dump(mode="json")
    value["known_edits"] = edits
    return parse_rubric(json.dumps(value, ensure_ascii=False), "r.yaml")


def test_levels_by_the_number_of_errors():
    figures = load_rubric().known_edits.figures
    assert [figures.level(n, 0, 30) for n in (0, 1, 2, 3, 15, 16)] == [None, 2, 2, 1, 1, 0]
    assert figures.level(0, 2, 30) == 3
    ten = load_rubric("financial_ten_level").known_edits.figures
    assert [ten.level(n, 0, 30) for n in (1, 2, 3, 4, 5, 20)] == [6, 4, 3, 3, 2, 1]


@pytest.mark.parametrize(
    "edits",
    [
        {"shuffled": {"style": 1}},
        {"first_quarter": {"depth": 5}},
        {"figures": {"dimension": "accuracy", "minor": 3, "wrong": {}, "most": 0}},
        {"figures": {"dimension": "sums", "minor": 3, "wrong": {1: 2}, "most": 0}},
    ],
)
def test_unusable_known_edits_are_refused_in_one_line(edits):
    with pytest.raises(InputError) as caught:
        rubric_with(**edits)
    assert "known_edits" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_frameworks_render_the_corpus_prompts():
    rng = random.Random(1)
    lines = corpus_path().read_text(encoding="utf-8").splitlines()
    for line in rng.sample(lines, 20):
        pair = json.loads(line)
        head, figures = pair["prompt"].split("\n【财务数据】")
        outline, background = head.split("【分析框架】\n")[1].split("\n【背景】\n")
        meta = pair["metadata"]
        framework = Framework(
            id="f",
            field=meta["field"],
            company=meta["company"],
            style=meta["style"],
            outline=tuple(entry.split(". ", 1)[1] for entry in outline.split("\n")),
            background=background,
            fact_sheet=meta["fact_sheet"],
        )
        assert framework.prompt() == pair["prompt"]
        assert figures


def test_of_each_kind_no_more_are_kept_than_asked_for():
    made = augmented(TEXTS[:40], load_rubric(), ("figures", "shuffled"), share=0.1, seed=3)
    assert [text.id.split("~")[1].rstrip("0123456789") for text in made] == ["figures"] * 4 + ["shuffled"] * 4
    everything = augmented(TEXTS[:40], load_rubric(), ("figures", "shuffled"), seed=3)
    assert {text.id for text in made} < {text.id for text in everything}
