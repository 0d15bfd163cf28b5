"""Settings: the guide's keys and defaults, the order of the layers, and faults said by layer and setting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reward_model.config import (
    ENV_PREFIX,
    PRESETS,
    TrainConfig,
    environment_settings,
    load_config,
    settings_file,
)
from reward_model.errors import InputError

# As printed in the guide.
GUIDE_CONFIG = {
    "base_model_name": "hfl/chinese-roberta-wwm-ext",
    "max_length": 2048,
    "batch_size": 4,
    "learning_rate": 2e-5,
    "num_epochs": 10,
    "num_dimensions": 3,
    "num_classes": 5,
    "use_multi_head": True,
}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def writing(text: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "settings.yaml"
        path.write_bytes(text.encode(encoding))
        return path

    return writing


def fault(base: Any = None, **layers: Any) -> str:
    with pytest.raises(InputError) as caught:
        load_config(base, **({"environ": {}} | layers))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 1000
    return str(caught.value)


# --- the guide's dict ---------------------------------------------------------------------------------------


def test_the_guides_config_is_taken_as_it_is() -> None:
    assert load_config(GUIDE_CONFIG, environ={}).model_dump(include=set(GUIDE_CONFIG)) == GUIDE_CONFIG


def test_the_defaults_are_the_guides() -> None:
    assert load_config(environ={}) == load_config(GUIDE_CONFIG, environ={})
    assert load_config(environ={}).output_dir == "outputs/multidim"


@pytest.mark.parametrize("key", GUIDE_CONFIG)
def test_each_key_of_the_guide_takes_effect(key: str) -> None:
    other = {str: "embedded", int: 16, float: 1e-4, bool: False}[type(GUIDE_CONFIG[key])]
    config = load_config(GUIDE_CONFIG | {key: other}, environ={})
    assert getattr(config, key) == other


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(name: str) -> None:
    config = load_config(PRESETS[name], environ={})
    assert all(getattr(config, key) == value for key, value in PRESETS[name].items())


# --- layers -------------------------------------------------------------------------------------------------


def test_flags_beat_environment_beats_file_beats_the_dict(write: Any) -> None:
    layers: dict[str, Any] = {
        "file": write("num_epochs: 2\nbatch_size: 2\nseed: 2\n"),
        "environ": {"FINRM_BATCH_SIZE": "3", "FINRM_SEED": "3"},
        "flags": {"seed": 4},
    }
    config = load_config({"num_classes": 6, "num_epochs": 1, "batch_size": 1, "seed": 1}, **layers)
    assert (config.num_classes, config.num_epochs, config.batch_size, config.seed) == (6, 2, 3, 4)


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    assert load_config({"seed": 7}, environ={}, flags={"seed": None}).seed == 7
    assert (
        load_config({"use_multi_head": True}, environ={}, flags={"use_multi_head": False}).use_multi_head
        is False
    )


def test_the_process_environment_is_used_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINRM_SEED", "99")
    assert load_config().seed == 99


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("learning_rate", "2e-5", 2e-5),
        ("use_multi_head", "false", False),
        ("freeze_backbone", "yes", True),
        ("pool_layers", "[4, 8, 12]", (4, 8, 12)),
        ("class_weights", "[2.0, 1.5, 1, 1, 1]", (2.0, 1.5, 1.0, 1.0, 1.0)),
        ("class_weights", "[[1, 2], [3, 4]]", ((1.0, 2.0), (3.0, 4.0))),
        ("pooling", "cls", "cls"),
        # Names and paths stay what was typed, though YAML would take them for something else.
        ("output_dir", "2024-01-01", "2024-01-01"),
        ("output_dir", "007", "007"),
        ("base_model_name", "no", "no"),
        ("eval_data", "a: b", "a: b"),
        ("data", "[x", "[x"),
    ],
)
def test_an_environment_variable_is_read_by_the_kind_of_its_setting(key: str, text: str, value: Any) -> None:
    assert getattr(load_config(environ={ENV_PREFIX + key.upper(): text}), key) == value


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_environment_variable_is_as_if_unset(text: str) -> None:
    assert environment_settings({"FINRM_BATCH_SIZE": text, "FINRM_DATA": text}) == {}


def test_other_variables_are_left_alone() -> None:
    assert environment_settings({"FINRM_CACHE": "/tmp", "BATCH_SIZE": "3", "finrm_batch_size": "3"}) == {}


def test_a_file_may_be_json_or_carry_a_byte_order_mark(write: Any) -> None:
    assert load_config(file=write(json.dumps({"learning_rate": 1e-5})), environ={}).learning_rate == 1e-5
    assert load_config(file=write("batch_size: 2", "utf-8-sig"), environ={}).batch_size == 2


def test_settings_that_must_fit_each_other_may_come_from_two_layers(write: Any) -> None:
    path = write("pool_stats: [mean, std]\n")
    config = load_config({"pooling": "cls"}, file=path, environ={}, flags={"pooling": "mean"})
    assert config.pool_stats == ("mean", "std")
    misfit = {"FINRM_POOLING": "cls", "FINRM_POOL_STATS": "[mean, std]"}
    assert load_config(environ=misfit, flags={"pooling": "mean"}) == load_config(file=path, environ={})
    assert "pool_stats needs pooling = mean" in fault({"pooling": "cls"}, file=path)


# --- faults -------------------------------------------------------------------------------------------------


def test_an_unknown_key_is_named_with_its_layer_and_those_there_are(write: Any) -> None:
    path = write("batchsize: 4\n")
    assert fault(file=path).startswith(f"{path}: batchsize: no such setting; known are base_model_name, ")
    assert fault({"epochs": 4}).startswith("settings: epochs: no such setting; ")
    assert fault(flags={"lr": 4}).startswith("flags: lr: no such setting; ")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("batch_size", 0, "must be at least 1, not 0"),
        ("batch_size", "four", 'must be a whole number, not "four"'),
        ("batch_size", True, "must not be true"),
        ("num_epochs", 2.5, "must be a whole number, not 2.5"),
        ("num_epochs", False, "must not be false"),
        ("num_classes", 1, "must be at least 2, not 1"),
        ("num_dimensions", 0, "must be at least 1, not 0"),
        ("max_length", 7, "must be at least 8, not 7"),
        ("learning_rate", 0, "must be over 0.0, not 0"),
        ("learning_rate", float("nan"), "must be a number, not NaN"),
        ("learning_rate", float("inf"), "must be a number, not Infinity"),
        ("use_multi_head", "maybe", 'must be true or false, not "maybe"'),
        ("base_model_name", 3, "must be a string, not 3"),
        ("base_model_name", "", "is empty"),
        ("pooling", "max", "must be 'last', 'mean' or 'cls', not \"max\""),
        ("pool_layers", [], "needs at least 1 entries"),
        ("pool_layers", "x", 'must be a list, not "x"'),
        ("val_fraction", -0.1, "must be at least 0.0, not -0.1"),
        ("dropout", 1, "must be below 1.0, not 1"),
        ("seed", -1, "must be at least 0, not -1"),
        ("seed", 2**32, f"must be below {2**32}, not {2**32}"),
        ("val_fraction", 1, "must be below 1.0, not 1"),
    ],
)
def test_a_value_that_no_run_could_use_is_named(key: str, value: Any, expected: str) -> None:
    for layer in ("settings", "flags"):
        message = fault({key: value}) if layer == "settings" else fault(flags={key: value})
        assert message.startswith(f"{layer}: {key}: {expected}; ")


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1, "x"], 'class_weights.1: must be a number, not "x"'),
        ([[1, 2], [3, "x"]], 'class_weights.1.1: must be a number, not "x"'),
        ([1, -1], "class_weights.1: must be at least 0.0, not -1"),
        ([1, float("nan")], "class_weights.1: must be a number, not NaN"),
    ],
)
def test_the_weight_at_fault_is_named_in_either_shape(weights: Any, expected: str) -> None:
    assert fault({"class_weights": weights}).startswith(f"settings: {expected}; ")


def test_an_environment_variable_at_fault_is_named() -> None:
    assert fault(environ={"FINRM_BATCH_SIZE": "0"}).startswith("environment: batch_size: must be at least 1")
    assert fault(environ={"FINRM_BATCH_SIZE": "[1"}).startswith(
        "environment: FINRM_BATCH_SIZE:1: not valid YAML"
    )


def test_a_lower_layers_fault_is_named_though_a_higher_one_overrides_it(write: Any) -> None:
    path = write("batch_size: none\n")
    assert fault(file=path, flags={"batch_size": 2}).startswith(f"{path}: batch_size: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "holds no settings"),
        ("- batch_size", "holds no settings"),
        ("batch_size", "holds no settings"),
        ("batch_size: [1", "not valid YAML"),
        ("batch_size: 1\nbatch_size: 2", 'the key "batch_size" appears twice'),
        ("seed: 2024-13-45", "holds a date, number or tag"),
        ("1: 2", "1: is a key that is not text"),
        ("a: &a [*a]", "aliases"),
        ("#" * 1_000_001, "over 1 MB"),
        ("pool_layers: [" + "x, " * 20_000 + "x]", "faults"),
    ],
)
def test_a_damaged_file_is_one_line(write: Any, text: str, expected: str) -> None:
    path = write(text)
    message = fault(file=path)
    assert message.startswith(f"{path}:")
    assert expected in message


def test_a_file_that_is_not_utf8_or_not_there_is_one_line(write: Any, tmp_path: Path) -> None:
    assert "not UTF-8" in fault(file=write("output_dir: 输出", "gb18030"))
    assert "no such settings file" in fault(file=tmp_path / "absent.yaml")
    assert "cannot be read" in fault(file=tmp_path / ("x" * 5000))
    with pytest.raises(InputError, match="is a directory"):
        settings_file(tmp_path)


def test_a_hostile_key_or_value_cannot_break_or_bloat_the_message() -> None:
    evil = "evil\n\x1b[2J\u2028" + "x" * 5000
    fault({evil: 1})
    fault({"batch_size": evil})
    fault({"pooling": evil})


def test_a_config_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError):
        load_config(environ={}).batch_size = 3  # type: ignore[misc]
    assert isinstance(load_config(environ={}), TrainConfig)
