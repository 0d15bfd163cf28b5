"""Rubrics: what comes with the package, and how each fault in a file is said in one line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reward_model.errors import InputError
from reward_model.rubric import builtin_rubrics, load_rubric, load_yaml, parse_rubric

SMALL: dict[str, Any] = {
    "name": "clarity",
    "dimensions": [
        {"name": "clear", "title": "清晰", "description": "读得懂吗", "levels": ["否", "是"]},
        {"name": "brief", "title": "简洁", "description": "短吗", "levels": ["否", "是"]},
    ],
    "degradations": [{"name": "冗长", "target": "brief"}],
}


def as_yaml(**changes: Any) -> str:
    return yaml.safe_dump(SMALL | changes, allow_unicode=True)


def dimension(**changes: Any) -> dict[str, Any]:
    return SMALL["dimensions"][0] | changes


def fault(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse_rubric(text, "my.yaml")
    message = str(caught.value)
    assert message.isprintable(), "one line, whatever the file holds"
    assert len(message) < 1000
    assert message.startswith("my.yaml")
    return message


# --- the rubrics of the package -----------------------------------------------------------------------------


def test_the_default_rubric_is_the_guides() -> None:
    rubric = load_rubric()
    assert rubric.names == ("depth", "professionalism", "accuracy")
    assert (rubric.num_dimensions, rubric.num_classes) == (3, 5)
    assert rubric.titles == {"depth": "分析深度", "professionalism": "专业度", "accuracy": "数值计算准确性"}


def test_the_guides_ten_level_variant_has_the_same_dimensions() -> None:
    ten = load_rubric("financial_ten_level")
    assert (ten.names, ten.num_classes) == (load_rubric().names, 10)


@pytest.mark.parametrize("name", builtin_rubrics())
def test_five_focuses_meet_five_degradations_each_with_a_target(name: str) -> None:
    rubric = load_rubric(name)
    assert len(rubric.quality_focuses) == len(rubric.degradations) == 5
    assert rubric.severities == ("轻度", "中度", "重度")
    targets = {item.name: rubric.target_of(item.name) for item in rubric.degradations}
    assert targets == {
        "引入计算错误": "accuracy",
        "浅化深度": "depth",
        "空泛套话": "depth",
        "弱化专业性": "professionalism",
        "结构混乱": "professionalism",
    }


@pytest.mark.parametrize("name", builtin_rubrics())
def test_every_level_has_an_anchor_text_of_its_own(name: str) -> None:
    for item in load_rubric(name).dimensions:
        assert len(set(item.levels)) == len(item.levels)


@pytest.mark.parametrize("unknown", [None, "", "别的"])
def test_an_unknown_degradation_has_no_target(unknown: str | None) -> None:
    assert load_rubric().target_of(unknown) is None


@pytest.mark.parametrize("name", builtin_rubrics())
def test_a_rubric_written_as_yaml_reads_back_equal(name: str, tmp_path: Path) -> None:
    rubric = load_rubric(name)
    path = tmp_path / "rubric.yaml"
    path.write_text(rubric.to_yaml(), encoding="utf-8")
    assert load_rubric(path) == rubric
    assert "分析深度" in rubric.to_yaml()


anchor = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).map(
    lambda s: s + "。"
)


@given(
    titles=st.lists(anchor, min_size=1, max_size=3),
    levels=st.lists(anchor, min_size=2, max_size=4),
    focuses=st.lists(anchor | st.sampled_from(["yes", "1", "null", "*a", "- b", "a: b", "#c"]), max_size=3),
)
def test_any_rubric_written_as_yaml_reads_back_equal(
    titles: list[str], levels: list[str], focuses: list[str]
) -> None:
    dimensions = [
        {"name": f"d{number}", "title": title, "description": title, "levels": levels}
        for number, title in enumerate(titles)
    ]
    text = as_yaml(dimensions=dimensions, degradations=[], quality_focuses=focuses)
    rubric = parse_rubric(text, "generated")
    assert parse_rubric(rubric.to_yaml(), "again") == rubric
    assert rubric.quality_focuses == tuple(focuses)


# --- faults -------------------------------------------------------------------------------------------------


def test_an_unknown_key_is_named() -> None:
    assert "colour: is no known key; correct its spelling or remove it" in fault(as_yaml(colour="red"))
    nested = fault(as_yaml(dimensions=[dimension(colour="red")], degradations=[]))
    assert nested.startswith("my.yaml: dimensions.0.colour: is no known key")


def test_a_missing_key_is_named() -> None:
    assert "dimensions: is missing" in fault("name: x")


def test_two_dimensions_of_one_name_are_refused() -> None:
    assert "two dimensions have the same name" in fault(
        as_yaml(dimensions=[dimension(), dimension(title="x")])
    )


def test_two_degradations_of_one_name_are_refused() -> None:
    twice = [{"name": "冗长", "target": "brief"}, {"name": "冗长", "target": "clear"}]
    assert "two degradations have the same name" in fault(as_yaml(degradations=twice))


def test_uneven_levels_are_refused() -> None:
    uneven = [dimension(), dimension(name="brief", levels=["a", "b", "c"])]
    assert "all dimensions need the same number of levels" in fault(as_yaml(dimensions=uneven))


def test_a_degradation_that_targets_no_dimension_is_named() -> None:
    message = fault(as_yaml(degradations=[{"name": "跑题", "target": "topic"}]))
    assert 'degradation "跑题" targets "topic", no dimension' in message


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"dimensions": []}, "dimensions: needs at least 1 entries"),
        ({"dimensions": "x"}, 'dimensions: must be a list, not "x"'),
        ({"dimensions": [1]}, "dimensions.0: must be an object, not 1"),
        ({"dimensions": [dimension(levels=["a"])]}, "dimensions.0.levels: needs at least 2 entries"),
        ({"dimensions": [dimension(levels=["a", " "])]}, "dimensions.0.levels.1: is empty"),
        ({"dimensions": [dimension(levels=[0, 1])]}, "dimensions.0.levels.0: must be a string, not 0"),
        ({"dimensions": [dimension(name="深度")]}, "dimensions.0.name: must begin with a letter"),
        ({"dimensions": [dimension(name="a.b")]}, "dimensions.0.name: must begin with a letter"),
        ({"dimensions": [dimension(name="a\n")]}, "dimensions.0.name: must begin with a letter"),
        ({"dimensions": [dimension(title=None)]}, "dimensions.0.title: must be a string, not null"),
        ({"name": ""}, "name: is empty"),
        ({"version": "one"}, 'version: must be a whole number, not "one"'),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(changes: dict[str, Any], expected: str) -> None:
    assert fault(as_yaml(**changes)).startswith(f"my.yaml: {expected}")


@pytest.mark.parametrize("text", ["", "# nothing", "just text", "- a\n- b", "42", "null"])
def test_what_is_not_a_mapping_is_refused(text: str) -> None:
    assert "must be an object" in fault(text)
    assert "see reward_model/rubrics/financial.yaml for the format" in fault(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a\nlevels: [a, b\nx: 1", "my.yaml:3: not valid YAML"),
        ("name: a\n\tb: c", "my.yaml:2: not valid YAML"),
        ("name: a\nversion: 1\nname: b", 'my.yaml:3: not valid YAML (the key "name" appears twice)'),
        ("name: a\nx: \x00", "my.yaml:2: not valid YAML"),
        ("name: a\n? [b]\n: c", "my.yaml:2: not valid YAML"),
        ("name: !!python/object/apply:os.system [id]", "my.yaml:1: not valid YAML"),
        ("name: 2024-13-45", "my.yaml: holds a date, number or tag"),
        ("name: !!bool x", "my.yaml: holds a date, number or tag"),
        ("name: !!timestamp x", "my.yaml: holds a date, number or tag"),
        ("version: " + "9" * 5000, "my.yaml: holds a date, number or tag"),
        ("[" * 20_000, "my.yaml: nested too deeply"),
        ("a: b\n---\nc: d", "my.yaml:2: not valid YAML"),
    ],
)
def test_damaged_yaml_is_named_with_its_line(text: str, expected: str) -> None:
    assert fault(text).startswith(expected)


BOMBS = {
    "laughs": "a0: &a0 [x, x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)),
    "merges": "a0: &a0 {x: 1}\n"
    + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)),
    "itself": "name: &a [*a]",
    "merges itself": "name: &a {<<: *a}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_aliases_that_expand_without_end_are_refused(name: str) -> None:
    started = time.monotonic()
    assert "it stands for over 100,000 values, aliases (*name) written out" in fault(BOMBS[name])
    assert time.monotonic() - started < 5


def test_levels_shared_by_an_alias_are_read() -> None:
    # PyYAML writes them so when a script gives two dimensions the same list.
    levels = ["否", "是"]
    text = as_yaml(dimensions=[dimension(levels=levels), dimension(name="brief", levels=levels)])
    assert "*id001" in text
    assert [item.levels for item in parse_rubric(text, "my.yaml").dimensions] == [("否", "是")] * 2


def test_the_counts_of_a_rubric_are_bounded() -> None:
    many = [dimension(name=f"d{n}", levels=["a", "b"]) for n in range(60)]
    assert "dimensions: has over 50 entries" in fault(as_yaml(dimensions=many))
    assert "levels: has over 101 entries" in fault(as_yaml(dimensions=[dimension(levels=["a"] * 200)]))
    assert "over 4000 characters" in fault(as_yaml(dimensions=[dimension(levels=["a", "b" * 5000])]))


def test_a_hostile_key_or_value_cannot_break_or_bloat_the_message() -> None:
    evil = "evil\n\x1b[2J\u2028" + "x" * 5000
    fault(as_yaml(**{evil: 1}))
    fault(as_yaml(degradations=[{"name": "a", "target": evil}]))
    fault(as_yaml(version=evil))


@given(text=st.text(alphabet="ab:-[]{}&*!?|>'\"#%@,.<\n\t 01é财\0\x85", max_size=40))
def test_arbitrary_text_is_a_value_or_one_clear_line(text: str) -> None:
    try:
        load_yaml(text, "my.yaml")
        message = "my.yaml"
    except InputError as error:
        message = str(error)
    assert message.isprintable()
    assert message.startswith("my.yaml")


# --- files --------------------------------------------------------------------------------------------------


def test_a_rubric_file_may_carry_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "rubric.yaml"
    path.write_text(as_yaml(), encoding="utf-8-sig")
    assert load_rubric(path).names == ("clear", "brief")
    assert load_rubric(str(path)).num_classes == 2


def test_a_file_that_is_not_utf8_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "rubric.yaml"
    path.write_text(as_yaml(), encoding="gb18030")
    with pytest.raises(InputError, match="not UTF-8; save it as UTF-8"):
        load_rubric(path)


def test_a_file_too_large_for_a_rubric_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "rubric.yaml"
    path.write_bytes(b"#" * 1_000_001)
    with pytest.raises(InputError, match="over 1 MB, no rubric"):
        load_rubric(path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no endless file here")
def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(InputError, match="over 1 MB, no rubric"):
        load_rubric("/dev/zero")


@pytest.mark.parametrize("name", ["absent", "absent.yaml", "x" * 5000])
def test_an_unknown_name_lists_the_rubrics_there_are(name: str) -> None:
    with pytest.raises(InputError) as caught:
        load_rubric(name)
    assert "name a YAML file or one of financial, financial_ten_level" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_folder_is_no_rubric(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory"):
        load_rubric(tmp_path)
