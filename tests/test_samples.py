"""Graded texts: labels, names, slices, and splits that no group ever crosses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_model.errors import InputError
from reward_model.rubric import load_rubric
from reward_model.samples import (
    GUIDE_DATA,
    IGNORED,
    GradedText,
    corpus_path,
    default_data,
    graded_texts,
    leave_one_out,
    pairs_of,
    split_groups,
)
from reward_model.schema import Located, parse_record

MakePair = Callable[..., dict[str, Any]]
RUBRIC = load_rubric()


def located(*values: dict[str, Any]) -> list[Located]:
    return [Located(line, "", parse_record(value)) for line, value in enumerate(values, 1)]


def texts_of(*values: dict[str, Any]) -> list[GradedText]:
    return graded_texts(located(*values), RUBRIC)


def pair(chosen: str, rejected: str, prompt: str = "", **metadata: Any) -> dict[str, Any]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, "metadata": metadata}


def groups_of(*values: dict[str, Any]) -> list[set[int]]:
    """The line numbers that share a group, group by group."""
    found: dict[str, set[int]] = {}
    for text in texts_of(*values):
        found.setdefault(text.group, set()).add(int(text.id.split(".")[0]))
    return sorted(found.values(), key=min)


# --- texts --------------------------------------------------------------------------------------------------


def test_a_pair_is_two_texts_with_levels_in_rubric_order(make_pair: MakePair) -> None:
    chosen, rejected = texts_of(make_pair())
    assert (chosen.id, rejected.id) == ("1.chosen", "1.rejected")
    assert (chosen.side, rejected.side) == ("chosen", "rejected")
    assert (chosen.labels, rejected.labels) == ((4, 3, 4), (1, 2, 3))
    assert chosen.text == "黄金响应全文..."
    assert chosen.pair == rejected.pair
    assert chosen.prompt == make_pair()["prompt"]


def test_levels_follow_the_rubric_not_the_record(make_pair: MakePair) -> None:
    value = make_pair()
    value["scores"]["chosen"] = {"accuracy": 0, "depth": 1, "professionalism": 2}
    assert texts_of(value)[0].labels == (1, 2, 0)


def test_a_missing_judgement_is_ignored_never_a_number(make_pair: MakePair) -> None:
    value = make_pair()
    value["scores"]["chosen"] = {"depth": None, "professionalism": 0}
    assert texts_of(value)[0].labels == (IGNORED, 0, IGNORED)
    assert texts_of(make_pair(scores=None))[0].labels == (IGNORED,) * 3
    assert texts_of({"text": "报告"})[0].labels == (IGNORED,) * 3


def test_slices_name_what_the_record_names(make_pair: MakePair) -> None:
    value = make_pair()
    expected = {"industry": "制造业", "writer": "qwen-plus", "degradation": "浅化深度"}
    assert texts_of(value)[0].slices == expected
    value["metadata"]["defect_metadata"]["severity"] = "重度"
    assert texts_of(value)[1].slices == expected | {"severity": "重度"}


def test_a_single_report_is_one_text_of_no_pair() -> None:
    facts = {"unit": "亿元", "periods": ["2024"], "items": {"存货": [1]}}
    scores = {"depth": 1, "professionalism": 2, "accuracy": 3}
    (text,) = texts_of({"text": "报告", "id": "a", "scores": scores, "facts": facts})
    assert (text.id, text.labels, text.pair, text.side) == ("a", (1, 2, 3), None, None)
    assert text.facts is not None
    assert text.facts.items == {"存货": [1]}


@pytest.mark.parametrize("name", ["p-7", 7, 0])
def test_a_records_own_id_names_its_texts(name: str | int) -> None:
    assert [text.id for text in texts_of(pair("a", "b", id=name))] == [f"{name}.chosen", f"{name}.rejected"]


# --- pairs --------------------------------------------------------------------------------------------------


def test_pairs_of_finds_both_sides_wherever_they_stand() -> None:
    texts = texts_of(pair("a", "b"), {"text": "报告"}, pair("c", "d"))
    assert [(texts[c].id, texts[r].id) for c, r in pairs_of(texts)] == [
        ("1.chosen", "1.rejected"),
        ("3.chosen", "3.rejected"),
    ]
    backwards = texts[::-1]
    found = {(backwards[c].text, backwards[r].text) for c, r in pairs_of(backwards)}
    assert found == {("a", "b"), ("c", "d")}


def test_a_pair_with_one_side_away_is_no_pair() -> None:
    texts = texts_of(pair("a", "b"), pair("c", "d"))
    assert pairs_of(texts[1:]) == [(1, 2)]
    assert pairs_of([]) == []


def test_two_pairs_of_one_id_stay_two_pairs() -> None:
    texts = texts_of(pair("a", "b", id="same"), pair("c", "d", id="same"))
    assert [(texts[c].text, texts[r].text) for c, r in pairs_of(texts)] == [("a", "b"), ("c", "d")]


# --- groups -------------------------------------------------------------------------------------------------


def test_records_that_share_nothing_are_groups_of_their_own() -> None:
    assert groups_of(pair("a", "b"), pair("c", "d"), {"text": "e"}) == [{1}, {2}, {3}]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pair("gold", "b"), pair("gold", "c")),
        (pair("a", "same"), pair("b", "same")),
        (pair("a", "same"), pair("same", "b")),
        (pair("a", "b", "prompt"), pair("c", "d", "prompt")),
        (pair("a", "b", "prompt"), {"text": "c", "prompt": "prompt"}),
        (pair("gold", "b"), {"text": "gold"}),
        (pair(" gold\n", "b"), pair("gold", "c")),
        (pair("a", "b", "prompt\n"), pair("c", "d", " prompt")),
    ],
    ids=[
        "gold",
        "degraded",
        "gold-degraded",
        "prompt",
        "prompt-report",
        "text-report",
        "spaces",
        "prompt-spaces",
    ],
)
def test_a_shared_text_or_prompt_joins_records(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert groups_of(first, pair("x", "y"), second) == [{1, 3}, {2}]


def test_groups_join_along_a_chain_of_shared_texts_and_prompts() -> None:
    chain = [pair("a", "b", "p"), pair("c", "d", "q"), pair("e", "f", "r")]
    assert groups_of(*chain) == [{1}, {2}, {3}]
    assert groups_of(*chain, pair("f", "g", "p")) == [{1, 3, 4}, {2}]
    assert groups_of(*chain, pair("f", "g", "p"), pair("d", "a", "z")) == [{1, 2, 3, 4, 5}]


def test_an_empty_prompt_joins_nothing() -> None:
    assert groups_of(pair("a", "b", ""), pair("c", "d", " \n"), {"text": "e"}) == [{1}, {2}, {3}]


def test_a_prompt_is_not_a_text() -> None:
    assert groups_of(pair("a", "b", "c"), pair("c", "d", "e")) == [{1}, {2}]


def test_grouping_a_long_chain_takes_no_time_or_stack() -> None:
    values = [pair(f"t{number}", f"t{number + 1}") for number in range(20_000)]
    assert len({text.group for text in texts_of(*values)}) == 1


# --- splits -------------------------------------------------------------------------------------------------

few = st.sampled_from("abcdefgh")
prompts = st.sampled_from(["", "p", "q", "r", "s"])
writers = st.sampled_from(["w1", "w2", "w3", None])
records = st.lists(
    st.builds(
        lambda c, r, p, w: pair(c, r, p, model=w),
        few.map("c{}".format),
        few.map("r{}".format),
        prompts,
        writers,
    )
    | st.builds(lambda t, p, w: {"text": t, "prompt": p, "metadata": {"model": w}}, few, prompts, writers),
    max_size=12,
)


def linked(one: GradedText, other: GradedText) -> bool:
    """Whether two texts may not stand on two sides of a split, by the rule itself."""
    same_prompt = bool(one.prompt) and one.prompt == other.prompt
    same_pair = one.pair is not None and one.pair == other.pair
    return same_prompt or same_pair or one.text == other.text


def assert_nothing_crosses(rest: list[GradedText], held: list[GradedText]) -> None:
    assert not {text.group for text in rest} & {text.group for text in held}
    assert not [(one, other) for one in rest for other in held if linked(one, other)]


@given(values=records, fraction=st.floats(0.01, 0.99), seed=st.integers(0, 2**32 - 1))
def test_no_group_ever_crosses_a_split(values: list[dict[str, Any]], fraction: float, seed: int) -> None:
    texts = texts_of(*values)
    count = len({text.group for text in texts})
    if count < 2:
        with pytest.raises(InputError, match="fewer than two independent groups"):
            split_groups(texts, fraction, seed)
        return
    rest, held = split_groups(texts, fraction, seed)
    assert rest
    assert held
    assert_nothing_crosses(rest, held)
    assert sorted(map(id, rest + held)) == sorted(map(id, texts)), "each text stands on exactly one side"
    assert abs(len({text.group for text in held}) - fraction * count) <= 1
    assert split_groups(texts, fraction, seed) == (rest, held)


@given(values=records)
def test_leaving_one_writer_out_leaves_nothing_linked_to_it(values: list[dict[str, Any]]) -> None:
    texts = texts_of(*values)
    named = sorted({text.slices["writer"] for text in texts if "writer" in text.slices})
    seen = []
    try:
        for value, rest, held in leave_one_out(texts, "writer"):
            seen.append(value)
            assert rest
            assert held == [text for text in texts if text.slices.get("writer") == value]
            assert_nothing_crosses(rest, held)
            # Nothing is given up that had no link to the held-out texts.
            groups = {text.group for text in held}
            assert len(rest) == sum(1 for text in texts if text.group not in groups)
    except InputError as error:
        message = str(error)
        assert len(named) < 2 or "nothing is left" in message
    else:
        assert seen == named


def test_the_seed_settles_the_split_whatever_the_order(corpus_records: list[Located]) -> None:
    texts = graded_texts(corpus_records, RUBRIC)
    held = [{text.group for text in split_groups(texts, 0.2, seed)[1]} for seed in range(5)]
    assert held[0] == {text.group for text in split_groups(texts[::-1], 0.2, 0)[1]}
    assert len({frozenset(groups) for groups in held}) == 5


def test_the_corpus_is_split_as_its_readme_says(corpus_records: list[Located]) -> None:
    texts = graded_texts(corpus_records, RUBRIC)
    assert (len(texts), len(pairs_of(texts))) == (450, 225)
    folds = list(leave_one_out(texts, "writer"))
    assert [value for value, _, _ in folds] == [f"llm-w{number}" for number in range(9)]
    assert sum(len(held) for _, _, held in folds) == 450


def test_leaving_out_needs_two_values() -> None:
    with pytest.raises(InputError, match="fewer than two values of writer; choose another grouping"):
        next(leave_one_out(texts_of(pair("a", "b", model="w")), "writer"))


def test_leaving_out_what_everything_is_linked_to_is_an_error_not_an_empty_fold() -> None:
    texts = texts_of(pair("a", "b", "p", model="w1"), pair("c", "d", "p", model="w2"))
    with pytest.raises(InputError, match='without writer "w1" nothing is left'):
        list(leave_one_out(texts, "writer"))


# --- which data is used -------------------------------------------------------------------------------------


def test_the_guides_data_is_preferred_to_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_data()[0] == corpus_path()
    assert "corpus that comes with the package" in default_data()[1]
    GUIDE_DATA.parent.mkdir(parents=True)
    GUIDE_DATA.write_text("{}")
    assert default_data()[0] == GUIDE_DATA
    assert "found in the working directory" in default_data()[1]
