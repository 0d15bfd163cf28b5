"""The contract of records: what is kept, what is refused, and how a fault is said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_model.errors import InputError
from reward_model.jsonl import JsonlReader, dump_line, parse_object
from reward_model.rubric import Rubric, load_rubric
from reward_model.samples import corpus_path
from reward_model.schema import (
    MAX_FAULTS_A_LINE,
    Located,
    PairRecord,
    ReportRecord,
    dump_record,
    parse_record,
    read_pairs,
    read_records,
    require_records,
)

MakePair = Callable[..., dict[str, Any]]
Faults = Callable[..., list[str]]
FACTS = {
    "unit": "亿元",
    "periods": ["2023", "2024"],
    "items": {"营业收入": [412.62, 523], "存货": [None, -1.5]},
}
REPORT = {"text": "报告全文", "scores": {"depth": 4, "professionalism": 3, "accuracy": None}}


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., tuple[list[Located], JsonlReader]]:
    def read(*values: Any, scored: bool = True, rubric: Rubric | None = None) -> Any:
        path = tmp_path / "data.jsonl"
        path.write_text("\n".join(json.dumps(value) for value in values), encoding="utf-8")
        reader = JsonlReader(path)
        return list(read_records(reader, rubric or load_rubric(), scored=scored)), reader

    return read


@pytest.fixture
def faults(found: Any) -> Faults:
    """The problems of one record as 'field: message; remedy' without the place."""

    def read(value: Any, **options: Any) -> list[str]:
        records, reader = found(value, **options)
        assert bool(records) is not bool(reader.problems), "a record is sound or named, never both or neither"
        prefix = f"{reader.name}:1: "
        assert all(str(problem).startswith(prefix) for problem in reader.problems)
        assert all(problem.remedy for problem in reader.problems)
        return [str(problem).removeprefix(prefix) for problem in reader.problems]

    return read


def put(value: dict[str, Any], path: str, new: Any) -> dict[str, Any]:
    """``value`` with the dotted ``path`` set to ``new``, or removed where ``new`` is ``...``."""
    *parents, last = path.split(".")
    node: Any = value
    for step in parents:
        node = node[int(step)] if isinstance(node, list) else node[step]
    key: Any = int(last) if isinstance(node, list) else last
    if new is ...:
        del node[key]
    else:
        node[key] = new
    return value


# --- what is kept -------------------------------------------------------------------------------------------


def test_every_field_of_the_guides_record_is_read(make_pair: MakePair) -> None:
    record = parse_record(make_pair())
    assert isinstance(record, PairRecord)
    assert record.prompt == "请根据以下分析框架生成制造业的财务分析报告：..."
    assert (record.text("chosen"), record.text("rejected")) == ("黄金响应全文...", "缺陷响应全文...")
    assert (record.metadata.field, record.metadata.model) == ("制造业", "qwen-plus")
    assert record.metadata.gold_metadata.quality_focus == "数据准确性导向"
    assert record.metadata.defect_metadata.degradation_type == "浅化深度"
    assert record.labels("chosen") == {"depth": 4, "professionalism": 3, "accuracy": 4}
    assert record.labels("rejected") == {"depth": 1, "professionalism": 2, "accuracy": 3}
    assert record.scores is not None
    assert record.scores.reasoning is not None
    assert record.scores.reasoning["accuracy"] == "黄金响应计算精确，缺陷响应有简化"


def test_a_pair_that_was_not_judged_has_no_labels(make_pair: MakePair) -> None:
    record = parse_record(put(make_pair(), "scores", ...))
    assert isinstance(record, PairRecord)
    assert record.labels("chosen") == {}


def test_a_single_graded_report_is_read(found: Any) -> None:
    records, _ = found(REPORT | {"facts": FACTS, "prompt": "写报告", "id": 7})
    record = records[0].record
    assert isinstance(record, ReportRecord)
    assert (record.id, record.prompt, record.scores) == (7, "写报告", REPORT["scores"])
    assert record.facts is not None
    assert record.facts.items == {"营业收入": [412.62, 523], "存货": [None, -1.5]}


def test_a_null_level_is_a_judgement_that_failed_not_a_fault(make_pair: MakePair, faults: Faults) -> None:
    assert faults(put(make_pair(), "scores.chosen.depth", None)) == []


@pytest.mark.parametrize("scored", [True, False])
def test_scores_may_be_missing_only_where_they_are_not_needed(
    make_pair: MakePair, faults: Faults, scored: bool
) -> None:
    for value in (put(make_pair(), "scores", ...), make_pair(scores=None), {"text": "报告"}):
        expected = ["scores: is missing; judge the data first (finrm judge), or give scored data"]
        assert faults(value, scored=scored) == (expected if scored else [])


def test_the_raw_line_comes_with_the_record(make_pair: MakePair, found: Any) -> None:
    records, reader = found({}, make_pair())
    assert [located.line for located in records] == [2]
    assert json.loads(records[0].raw) == make_pair()
    assert len(reader.problems) == 1


def test_the_corpus_round_trips_value_for_value(corpus_records: list[Located]) -> None:
    lines = corpus_path().read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(corpus_records) == 225
    for line, located in zip(lines, corpus_records, strict=True):
        assert json.loads(dump_record(located.record)) == json.loads(line)


# Names that could collide with what a pydantic model has itself.
awkward = st.sampled_from(
    ["model_config", "model_dump", "copy", "labels", "__class__", "int", "str", "a.b", ""]
)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | awkward
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(["财务", "\u2028", "\0", "😀"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).map(
    lambda text: text + "。"
)


def opened(
    known: dict[str, Any], optional: dict[str, Any] | None = None
) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with the ``known`` fields, some of the ``optional`` ones, and unknown ones beside them."""
    every = set(known) | set(optional or {}) | {"chosen", "rejected"}
    extras = st.dictionaries(names.filter(lambda name: name not in every), values, max_size=2)
    return st.builds(
        lambda fixed, extra: extra | fixed, st.fixed_dictionaries(known, optional=optional), extras
    )


level = st.none() | st.integers(0, 4)
levels = st.dictionaries(names, level, max_size=3)
figures = st.lists(
    st.none() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False),
    min_size=2,
    max_size=2,
)
sheets = opened(
    {"unit": texts, "periods": st.just(["2023", "2024"]), "items": st.dictionaries(names, figures)}
)
metadata = opened(
    {},
    {
        "id": st.none() | st.integers() | texts,
        "field": st.none() | texts,
        "model": texts,
        "gold_metadata": opened({}, {"quality_focus": texts}),
        "defect_metadata": opened(
            {}, {"degradation_type": texts, "severity": texts, "defects": st.lists(values)}
        ),
        "fact_sheet": st.none() | sheets,
    },
)
pair_scores = opened(
    {"chosen": levels, "rejected": levels},
    {
        "reasoning": st.dictionaries(names, st.none() | texts, max_size=2),
        "judgements": st.dictionaries(
            names, st.lists(st.dictionaries(names, values, max_size=2), max_size=2)
        ),
    },
)
pairs = opened(
    {"prompt": texts, "chosen": texts, "rejected": texts},
    {"metadata": metadata, "scores": st.none() | pair_scores},
)
reports = opened(
    {"text": texts},
    {"id": st.none() | texts, "prompt": texts, "scores": levels, "facts": sheets, "metadata": metadata},
)


@given(value=pairs | reports)
def test_any_valid_record_survives_a_round_trip_with_all_its_unknown_fields(value: dict[str, Any]) -> None:
    line = dump_record(parse_record(parse_object(dump_line(value))))
    assert json.loads(line) == value
    assert "\n" not in line


# --- what is refused ----------------------------------------------------------------------------------------

REFUSED = [
    ("prompt", ..., "prompt: is missing; add it"),
    ("prompt", None, "prompt: must be a string, not null; put the text in quotes"),
    ("chosen", ..., "chosen: is missing; add it"),
    ("rejected", ..., "rejected: is missing; add it"),
    ("rejected", "", "rejected: is empty; fill it in, or remove what it stands in"),
    ("rejected", " \u3000\n", "rejected: is empty; fill it in, or remove what it stands in"),
    ("rejected", ["a"], "rejected: must be a string, not an array; put the text in quotes"),
    ("metadata", None, "metadata: must be an object, not null; give it keys and values"),
    ("metadata", "x", 'metadata: must be an object, not "x"; give it keys and values'),
    ("metadata.field", 3, "metadata.field: must be a string, not 3; put the text in quotes"),
    ("metadata.id", 1.5, "metadata.id: must be a string or a whole number, not 1.5; put it in quotes"),
    ("metadata.id", True, "metadata.id: must be a string or a whole number, not true; put it in quotes"),
    (
        "metadata.gold_metadata",
        [],
        "metadata.gold_metadata: must be an object, not an array; give it keys and values",
    ),
    (
        "metadata.defect_metadata.defects",
        "x",
        'metadata.defect_metadata.defects: must be a list, not "x"; put it in brackets',
    ),
    ("scores", [], "scores: must be an object, not an array; give it keys and values"),
    ("scores.chosen", ..., "scores.chosen: is missing; add it"),
    ("scores.rejected", None, "scores.rejected: must be an object, not null; give it keys and values"),
    (
        "scores.chosen.depth",
        ...,
        "scores.chosen.depth: is missing; add the level, or null if it could not be judged",
    ),
    ("scores.reasoning", "x", 'scores.reasoning: must be an object, not "x"; give it keys and values'),
    ("scores.reasoning.depth", 4, "scores.reasoning.depth: must be a string, not 4; put the text in quotes"),
]


@pytest.mark.parametrize(("path", "new", "expected"), REFUSED, ids=[f"{p}={n!r:.12}" for p, n, _ in REFUSED])
def test_a_field_of_the_wrong_kind_is_named_with_a_remedy(
    make_pair: MakePair, faults: Faults, path: str, new: Any, expected: str
) -> None:
    assert faults(put(make_pair(), path, new)) == [expected]


@pytest.mark.parametrize(
    ("level", "quoted"),
    [
        ("4", '"4"'),
        (True, "true"),
        (False, "false"),
        (3.0, "3.0"),
        (2.5, "2.5"),
        ([4], "an array"),
        ({}, "an object"),
    ],
)
@pytest.mark.parametrize("single", [False, True])
def test_only_a_whole_number_is_a_level(
    make_pair: MakePair, faults: Faults, level: Any, quoted: str, single: bool
) -> None:
    value, path = (dict(REPORT), "scores.depth") if single else (make_pair(), "scores.rejected.depth")
    value = json.loads(json.dumps(value))
    assert faults(put(value, path, level)) == [
        f"{path}: must be a whole number, not {quoted}; write 0, 1, 2 ... without quotes"
    ]


@pytest.mark.parametrize("level", [-1, 5, 9, 10**200])
def test_a_level_outside_the_rubric_is_named_with_the_range(
    make_pair: MakePair, faults: Faults, level: int
) -> None:
    (fault,) = faults(put(make_pair(), "scores.chosen.accuracy", level))
    assert fault.startswith(f"scores.chosen.accuracy: is {str(level)[:39]}")
    assert "outside 0-4 of rubric financial; correct it, or name the rubric" in fault
    assert len(fault) < 200


def test_five_level_data_fits_ten_levels_but_not_the_other_way_round(
    make_pair: MakePair, faults: Faults
) -> None:
    ten = load_rubric("financial_ten_level")
    assert faults(make_pair(), rubric=ten) == []
    nine = put(make_pair(), "scores.chosen.depth", 9)
    assert faults(nine, rubric=ten) == []
    assert len(faults(nine)) == 1
    assert (
        "outside 0-9 of rubric financial_ten_level"
        in faults(put(nine, "scores.chosen.depth", 10), rubric=ten)[0]
    )


def test_a_dimension_that_the_rubric_does_not_know_is_named_with_those_it_does(
    make_pair: MakePair, faults: Faults
) -> None:
    assert faults(put(make_pair(), "scores.chosen.style", 1)) == [
        "scores.chosen.style: is no dimension of rubric financial (depth, professionalism, accuracy); "
        "name the rubric that the data was judged by (--rubric)"
    ]


def test_all_faults_of_a_line_are_named_not_only_the_first(make_pair: MakePair, faults: Faults) -> None:
    value = put(put(make_pair(), "scores.chosen.depth", 7), "scores.rejected.accuracy", -1)
    assert [fault.split(":")[0] for fault in faults(value)] == [
        "scores.chosen.depth",
        "scores.rejected.accuracy",
    ]


def test_a_line_full_of_faults_cannot_bury_the_others(make_pair: MakePair, faults: Faults) -> None:
    for level in (1, "x"):  # unknown dimensions; values of the wrong kind
        many = put(make_pair(), "scores.chosen", {f"k{n}": level for n in range(500)})
        named = faults(many)
        assert len(named) == MAX_FAULTS_A_LINE + 1
        assert re.match(r"has 4\d\d faults more", named[-1])


@pytest.mark.parametrize("key", ["int", "float", "str"])
def test_a_key_that_is_called_like_a_type_is_still_named(
    make_pair: MakePair, faults: Faults, key: str
) -> None:
    (fault,) = faults(put(make_pair(), f"scores.chosen.{key}", "x"))
    assert fault.startswith(f"scores.chosen.{key}: ")


@pytest.mark.parametrize("path", ["scores.chosen", "metadata.fact_sheet.items", "scores.reasoning"])
def test_a_hostile_key_or_value_cannot_break_or_bloat_a_message(
    make_pair: MakePair, faults: Faults, path: str
) -> None:
    evil = "evil\n\x1b[2J\u2028" + "x" * 50_000
    value = make_pair()
    value["metadata"]["fact_sheet"] = FACTS | {"items": {}}
    bad: Any = [evil] * 2 if path.endswith("items") else {evil: 1}
    for fault in faults(put(value, path, {evil: bad})):
        assert fault.isprintable()
        assert len(fault) < 400
        assert "evil\\n\\x1b" in fault


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"unit": ""}, "facts.unit: is empty; "),
        ({"periods": []}, "facts.periods: needs at least 1 entries; "),
        ({"periods": [2023, 2024]}, "facts.periods.0: must be a string, not 2023; "),
        ({"items": {"收入": [1]}}, 'facts: item "收入" has 1 values for 2 periods; '),
        ({"items": {"收入": ["1", 2]}}, 'facts.items.收入.0: must be a number, not "1"; '),
        ({"items": {"收入": [True, 2]}}, "facts.items.收入.0: must be a number, not true; "),
        ({"items": {"收入": 1}}, "facts.items.收入: must be a list, not 1; "),
        ({"items": [1]}, "facts.items: must be an object, not an array; "),
    ],
)
def test_a_fact_sheet_that_does_not_add_up_is_named(
    faults: Faults, change: dict[str, Any], expected: str
) -> None:
    assert faults(REPORT | {"facts": FACTS | change})[0].startswith(expected)


def test_what_is_neither_pair_nor_report_is_said_so(faults: Faults) -> None:
    assert faults({"prompt": "x"}) == [
        "is neither a pair (chosen, rejected) nor a report (text); see the data format in the guide"
    ]


def test_no_message_speaks_of_pydantic(make_pair: MakePair, faults: Faults) -> None:
    wrong: list[Any] = [None, 1, 1.5, True, "x", [], [1], {}, {"a": 1}]
    paths = [
        "prompt",
        "chosen",
        "metadata",
        "metadata.id",
        "metadata.field",
        "metadata.fact_sheet",
        "metadata.defect_metadata.defects",
        "scores",
        "scores.chosen",
        "scores.chosen.depth",
        "scores.reasoning",
        "scores.judgements",
    ]
    said = [fault for path in paths for new in wrong for fault in faults(put(make_pair(), path, new))]
    assert len(said) > 50
    assert [fault for fault in said if re.search(r"[Ii]nput|valid |instance|Record|pars|\[type", fault)] == []


# --- readers of whole files ---------------------------------------------------------------------------------


def test_read_pairs_names_a_single_report(make_pair: MakePair, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(json.dumps(value) for value in (REPORT, make_pair())), encoding="utf-8")
    reader = JsonlReader(path)
    assert [located.line for located in read_pairs(reader, load_rubric())] == [2]
    assert [str(problem) for problem in reader.problems] == [
        f"{path}:1: chosen: is missing; this command needs pairs (chosen, rejected)"
    ]


def test_a_file_without_a_usable_record_is_an_input_error(found: Any) -> None:
    records, reader = found({})
    with pytest.raises(InputError, match="holds no usable record"):
        require_records(records, reader.name)
    sound, reader = found(REPORT)
    assert require_records(iter(sound), reader.name) == sound
