"""Model directories: what was saved is what scores, and anything else is refused in one line."""

from __future__ import annotations

import json
import pickle
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from models import TEXTS, in_fresh_process, loaded_model, padded, reference_of, save, write_base
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

import reward_model.modeldir as modeldir
from reward_model.embedded import prepare_embedded, source_file
from reward_model.errors import InputError
from reward_model.evidence import EVIDENCE_SIZE, EVIDENCE_VERSION
from reward_model.model import FinancialRewardModel
from reward_model.modeldir import LoadedModel, load_model
from reward_model.trainer import save_state

pytest_plugins = ["fixtures_models"]

KINDS = ("full", "frozen")
Damage = Callable[[Path], None]


def logits_of(loaded: LoadedModel) -> Tensor:
    """Logits of the test texts and a long one, from text to number."""
    rows = loaded.tokenizer([*TEXTS, TEXTS[0] * 5])["input_ids"]
    with torch.inference_mode():
        return loaded.model.eval()(*padded(rows, loaded.tokenizer.pad_token_id)).logits


@pytest.fixture(scope="module")
def saved(bases: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A BERT-based model directory of each kind. Shared: tests change copies of them."""
    folder = tmp_path_factory.mktemp("models")
    return {
        kind: save(loaded_model(bases["bert"]), folder / kind, bases["bert"], frozen=kind == "frozen")
        for kind in KINDS
    }


@pytest.fixture(params=KINDS)
def copied(request: pytest.FixtureRequest, saved: dict[str, Path], tmp_path: Path) -> Path:
    """A model directory of one's own, of each kind in turn."""
    return Path(shutil.copytree(saved[request.param], tmp_path / request.param))


def refusal(folder: Path) -> str:
    """The message that ``folder`` is refused with: one line."""
    with pytest.raises(InputError) as caught:
        load_model(folder)
    message = str(caught.value)
    assert message.isprintable(), "one line, whatever the file holds"
    assert len(message) < 700
    return message


def edit_json(path: Path, **changes: Any) -> None:
    """Set ``a__b=value`` as path["a"]["b"]."""
    value = json.loads(path.read_text(encoding="utf-8"))
    for key, item in changes.items():
        *parents, last = key.split("__")
        target = value
        for parent in parents:
            target = target[parent]
        target[last] = item
    path.write_text(json.dumps(value), encoding="utf-8")


def edit_weights(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    path = folder / "model.safetensors"
    with safe_open(path, framework="pt") as stored:
        metadata = stored.metadata()
    tensors = {name: value.clone() for name, value in load_file(path).items()}
    change(tensors)
    save_file(tensors, path, metadata=metadata)


# --- round trips --------------------------------------------------------------------------------------------

FRESH = """
import json, sys, torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from test_modeldir import logits_of
from reward_model.model import FinancialRewardConfig, FinancialRewardModel
from reward_model.modeldir import load_model
found = {}
for path in sys.argv[2:]:
    loaded = load_model(path)
    found[path] = logits_of(loaded).tolist(), loaded.temperatures.tolist()
    state = torch.load(path + "/best_model.pt", weights_only=True)
    loaded.model = FinancialRewardModel(FinancialRewardConfig.from_pretrained(path))
    loaded.model.load_state_dict(state, strict=True)
    found[path] += (logits_of(loaded).tolist(),)
print(json.dumps(found))
"""


def test_a_fresh_process_reproduces_the_logits(bases: dict[str, Path], tmp_path: Path) -> None:
    expected = {}
    models: dict[str, tuple[str, bool, dict[str, Any]]] = {
        "bert": ("bert", False, {}),
        "bert-frozen": ("bert", True, {"pool_layers": [1, 2], "pool_stats": ["mean", "std", "max"]}),
        "roberta-frozen": ("roberta", True, {"pooling": "cls", "use_multi_head": False}),
        "qwen2": ("qwen2", False, {"pooling": "last", "rubric": "financial_ten_level"}),
        "qwen3-frozen": ("qwen3", True, {"pooling": "last"}),
        "llama": ("llama", False, {"evidence_size": EVIDENCE_SIZE, "evidence_version": EVIDENCE_VERSION}),
    }
    for name, (family, frozen, options) in models.items():
        loaded = loaded_model(bases[family], window_overlap=8, **options)
        folder = save(loaded, tmp_path / name, bases[family], frozen=frozen)
        # The guide's file stands beside the rest and belongs to it.
        save_state(loaded.model.state_dict(), folder / "best_model.pt")
        expected[str(folder)] = logits_of(loaded)
    if source_file():
        base = prepare_embedded()
        loaded = loaded_model(base)
        facts = reference_of(base).to_dict() | {"kind": "embedded", "name": "embedded"}
        folder = save(loaded, tmp_path / "embedded", modeldir.BaseReference(**facts), frozen=True)
        save_state(loaded.model.state_dict(), folder / "best_model.pt")
        assert not (folder / "tokenizer.json").exists(), "it comes with the base"
        assert (folder / "model.safetensors").stat().st_size < 2_000_000
        expected[str(folder)] = logits_of(loaded)
    found = json.loads(in_fresh_process(FRESH, Path(__file__).parent, *expected))
    for path, logits in expected.items():
        again, temperatures, from_best_model = found[path]
        assert (torch.tensor(again) - logits).abs().max() <= 1e-6, path
        assert (torch.tensor(from_best_model) - logits).abs().max() <= 1e-6, path
        assert temperatures == [1.5, 0.5, 1.0]


def test_what_is_loaded_is_whole_and_in_evaluation_mode(saved: dict[str, Path]) -> None:
    for kind in KINDS:
        loaded = load_model(saved[kind])
        assert not loaded.model.training
        assert not loaded.model.backbone.training
        assert loaded.rubric.names == ("depth", "professionalism", "accuracy")
        assert loaded.path == saved[kind]
        assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}


def test_from_pretrained_reads_a_model_directory(saved: dict[str, Path]) -> None:
    loaded = load_model(saved["frozen"])
    model = FinancialRewardModel.from_pretrained(saved["frozen"])
    loaded_again = LoadedModel(model, loaded.tokenizer, loaded.rubric, loaded.temperatures)
    assert torch.equal(logits_of(loaded_again), logits_of(loaded))


def test_a_released_directory_holds_the_agreed_files_and_no_pickle(saved: dict[str, Path]) -> None:
    for kind in KINDS:
        names = {path.name for path in saved[kind].iterdir()}
        assert names == {
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "rubric.yaml",
            "calibration.json",
            "training.json",
            "README.md",
        }
        for path in saved[kind].iterdir():
            assert not path.read_bytes().startswith((b"\x80", b"PK")), "neither a pickle nor a torch archive"
            assert path.stat().st_mode & 0o777 == 0o644


def test_a_frozen_directory_keeps_no_copy_of_the_backbone(saved: dict[str, Path]) -> None:
    assert not [name for name in load_file(saved["frozen"] / "model.safetensors") if "backbone" in name]


def test_only_a_local_base_is_named_by_its_place(saved: dict[str, Path]) -> None:
    config = json.loads((saved["full"] / "config.json").read_text())
    assert "_name_or_path" not in config["base_config"]


def test_saving_over_an_older_model_leaves_nothing_of_it(
    bases: dict[str, Path], saved: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(saved["full"], tmp_path / "model"))
    (folder / "notes.txt").write_text("mine")
    new = loaded_model(bases["llama"], rubric="financial_ten_level")
    save(new, folder, bases["llama"], frozen=True)
    loaded = load_model(folder)
    torch.testing.assert_close(logits_of(loaded), logits_of(new), atol=1e-6, rtol=0)
    assert (folder / "notes.txt").read_text() == "mine"


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "rubric.yaml",
        "calibration.json",
        "training.json",
    ],
)
@pytest.mark.parametrize("how", ["gone", "dangling link", "directory"])
def test_a_missing_file_is_refused_by_name(copied: Path, name: str, how: str) -> None:
    (copied / name).unlink()
    if how == "dangling link":
        (copied / name).symlink_to(copied / "nowhere")
    elif how == "directory":
        (copied / name).mkdir()
    assert name in refusal(copied)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "calibration.json", "training.json"]
)
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"\xff\xfe", b"[" * 100_000])
def test_a_file_of_garbage_is_refused_by_name(copied: Path, name: str, content: bytes) -> None:
    (copied / name).write_bytes(content)
    assert name in refusal(copied)


def test_no_directory_is_refused(tmp_path: Path) -> None:
    assert "no such model directory" in refusal(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    assert "no such model directory" in refusal(tmp_path / "file")


def test_a_bare_base_model_is_refused(bases: dict[str, Path]) -> None:
    assert 'model_type is "bert"' in refusal(bases["bert"])


def cut(share: float) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "model.safetensors"
        raw = path.read_bytes()
        path.write_bytes(raw[: int(len(raw) * share)])

    return damage


def pickled(folder: Path) -> None:
    path = folder / "model.safetensors"
    torch.save({name: value.clone() for name, value in load_file(path).items()}, path)


def unsealed(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file({name: value.clone() for name, value in load_file(path).items()}, path)


def with_weights(change: Callable[[dict[str, Tensor]], Any]) -> Damage:
    return lambda folder: edit_weights(folder, change)


HEAD = "heads.1.3.weight"


@pytest.mark.parametrize(
    ("damage", "phrase"),
    [
        (cut(0.0), "damaged"),
        (cut(0.001), "damaged"),
        (cut(0.5), "damaged"),
        (cut(0.999), "damaged"),
        (pickled, "damaged"),
        (unsealed, "seal"),
        (with_weights(lambda t: t.update(extra=torch.ones(1))), "belong to no part of it (extra)"),
        (with_weights(lambda t: t.update({"a\nb" * 99: torch.ones(1)})), "belong to no part"),
        (
            with_weights(lambda t: t.pop(HEAD)),
            f"1 weights of those that config.json asks for are missing ({HEAD})",
        ),
        (with_weights(lambda t: t.pop("feature_scale")), "missing (feature_scale)"),
        (with_weights(dict.clear), "missing"),
        (with_weights(lambda t: t.update({HEAD: t[HEAD].T.contiguous()})), f"{HEAD} has shape [8, 5]"),
        (with_weights(lambda t: t.update({HEAD: t[HEAD][:4].clone()})), f"{HEAD} has shape [4, 8]"),
        (with_weights(lambda t: t.update({HEAD: t[HEAD].int()})), f"{HEAD} is of type I32"),
        (with_weights(lambda t: t.update({HEAD: t[HEAD].double()})), f"{HEAD} is of type F64"),
        (with_weights(lambda t: t[HEAD].view(-1)[3].fill_(torch.nan)), "no numbers"),
        (with_weights(lambda t: t["feature_mean"][0].fill_(torch.inf)), "no numbers"),
    ],
)
def test_damaged_weights_are_refused(copied: Path, damage: Damage, phrase: str) -> None:
    damage(copied)
    message = refusal(copied)
    assert phrase in message
    assert "model.safetensors" in message


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"base_config__hidden_size": 10**7}, "config.json says"),
        ({"base_config__hidden_size": 10**12}, "describes no model"),
        ({"base_config__num_hidden_layers": 10**9}, "num_hidden_layers: 1000000000"),
        ({"base_config__vocab_size": 10**11}, ""),
        ({"base_config__max_position_embeddings": 10**11}, ""),
        ({"base_config__num_labels": 10**9}, "num_labels"),
        ({"num_labels": 10**9}, "num_labels"),
        ({"base_config": {"model_type": "gpt2", "n_layer": 10**9}}, "n_layer"),
        ({"base_config": {"model_type": "mixtral", "num_local_experts": 10**9}}, "num_local_experts"),
        ({"base_config": {"model_type": "qwen2", "num_hidden_layers": 10**9}}, "num_hidden_layers"),
        ({"evidence_size": 10**12}, "evidence"),
        ({"num_dimensions": 10**9}, "rubric.yaml has 3 dimensions"),
        ({"num_classes": 10**9}, "rubric.yaml has 3 dimensions x 5 levels"),
        ({"pool_layers": [10**9]}, "pool_layers"),
        ({"base_config__hidden_size": "16"}, "hidden_size"),
        ({"base_config__hidden_size": 0}, ""),
        ({"base_config__hidden_size": -16}, ""),
        ({"base_config__num_attention_heads": 0}, "describes no model"),
        ({"base_config__num_hidden_layers": True}, "num_hidden_layers"),
        ({"base_config__hidden_act": "nope"}, "describes no model"),
        ({"base_config__model_type": "nope\nnope"}, "describes no model"),
        ({"base_config__model_type": "vit"}, ""),
        ({"base_config__model_type": "t5"}, ""),
        ({"base_config__model_type": "roberta"}, ""),
        ({"base_config": None}, "base_config is missing"),
        ({"base_config": {}}, "base_config is missing"),
        ({"base_model": None}, "base_model is missing"),
        ({"model_type": "bert"}, "of no reward model"),
        ({"model_type": "x\n" * 5000}, "of no reward model"),
        ({"pooling": "average"}, "pooling"),
        ({"pool_stats": ["median"]}, "pool_stats"),
        ({"dropout": float("nan")}, "dropout"),
        ({"window_overlap": -5}, "window_overlap"),
        ({"prefix_ids": ["a"]}, "prefix_ids"),
        ({"prefix_ids": 7}, ""),
        ({"dimension_names": 7}, ""),
        ({"class_weights": "abc"}, "class_weights"),
        ({"max_length": "x"}, "max_length"),
        ({"frozen_backbone": "yes"}, "frozen_backbone"),
    ],
)
def test_a_config_of_nonsense_is_refused_at_once_without_taking_memory(
    copied: Path, changes: dict[str, Any], phrase: str
) -> None:
    edit_json(copied / "config.json", **changes)
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    message = refusal(copied)
    assert time.monotonic() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
    assert phrase in message
    assert "config.json" in message


@pytest.mark.parametrize(
    "changes",
    [
        # All of these fit the weights, and would score otherwise.
        {"pooling": "last"},
        {"suffix_ids": []},
        {"max_length": 100},
        {"include_prompt": True},
        {"base_config__num_attention_heads": 4},
        {"base_config__hidden_act": "relu"},
        {"base_config__layer_norm_eps": 0.5},
        {"base_config__is_decoder": True},
    ],
)
def test_a_config_that_the_weights_were_not_trained_with_is_refused(
    copied: Path, changes: dict[str, Any]
) -> None:
    edit_json(copied / "config.json", **changes)
    assert "not the one that model.safetensors was trained with" in refusal(copied)


def test_the_config_of_another_run_of_the_same_shape_is_refused(
    bases: dict[str, Path], saved: dict[str, Path], copied: Path, tmp_path: Path
) -> None:
    frozen = copied.name == "frozen"
    other = save(loaded_model(bases["bert"], pooling="cls"), tmp_path / "other", bases["bert"], frozen=frozen)
    shutil.copy(other / "config.json", copied)
    assert "not the one" in refusal(copied)


def test_a_config_that_would_fetch_code_fetches_none(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    import transformers.integrations.hub_kernels as kernels

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("code would have been fetched")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", forbidden)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", forbidden)
    for name in ("get_kernel", "load_and_register_attn_kernel"):
        monkeypatch.setattr(kernels, name, forbidden, raising=False)
    for key in ("attn_implementation", "_attn_implementation"):
        edit_json(copied / "config.json", **{f"base_config__{key}": "kernels-community/flash-attn"})
        assert "not the one" in refusal(copied)
    edit_json(copied / "config.json", base_config__auto_map={"AutoModel": "someone/thing--code.Model"})
    assert "not the one" in refusal(copied)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_another_models_tokenizer_is_refused(bases: dict[str, Path], copied: Path, name: str) -> None:
    shutil.copy(bases["roberta"] / name, copied)
    assert name in refusal(copied)


def test_line_ends_that_version_control_changed_do_no_harm(copied: Path) -> None:
    before = logits_of(load_model(copied))
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "rubric.yaml", "calibration.json"):
        raw = (copied / name).read_bytes()
        assert b"\r" not in raw
        (copied / name).write_bytes(raw.replace(b"\n", b"\r\n"))
    assert torch.equal(logits_of(load_model(copied)), before)


def rubric_edit(old: str, new: str) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "rubric.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return damage


def other_rubric(name: str) -> Damage:
    from reward_model.rubric import load_rubric

    def damage(folder: Path) -> None:
        (folder / "rubric.yaml").write_text(load_rubric(name).to_yaml(), encoding="utf-8")

    return damage


def one_dimension_less(folder: Path) -> None:
    import yaml

    path = folder / "rubric.yaml"
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    value["dimensions"].pop()
    value["degradations"] = []
    value["known_edits"] = None  # they name the dimension that goes
    path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "phrase"),
    [
        (other_rubric("financial_ten_level"), "rubric.yaml has 3 dimensions x 10 levels, config.json 3 x 5"),
        (one_dimension_less, "rubric.yaml has 2 dimensions"),
        (rubric_edit("depth", "deepness"), "name other dimensions"),
        (rubric_edit("name: depth", "name: 7"), "rubric.yaml"),
        (lambda folder: (folder / "rubric.yaml").write_bytes(b"\x00\xff"), "rubric.yaml"),
        (lambda folder: (folder / "rubric.yaml").write_text("a: [1"), "rubric.yaml"),
    ],
)
def test_a_rubric_that_disagrees_is_refused(copied: Path, damage: Damage, phrase: str) -> None:
    damage(copied)
    assert phrase in refusal(copied)


def test_a_rubric_with_its_dimensions_in_another_order_is_refused(copied: Path) -> None:
    import yaml

    path = copied / "rubric.yaml"
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    value["dimensions"].reverse()
    path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    assert "name other dimensions" in refusal(copied)


@pytest.mark.parametrize(
    "changes",
    [
        {"temperatures": {"depth": 1.0, "accuracy": 1.0}},
        {"temperatures": {"depth": 1.0, "professionalism": 1.0, "accuracy": 1.0, "charm": 1.0}},
        {"temperatures": {}},
        {"temperatures": None},
        {"temperatures": {"a\nb" * 99: "x"}},
        {"temperatures__depth": 0},
        {"temperatures__depth": -1.0},
        {"temperatures__depth": 1e-9},
        {"temperatures__depth": 1e9},
        {"temperatures__depth": 10**400},
        {"temperatures__depth": float("nan")},
        {"temperatures__depth": float("inf")},
        {"temperatures__depth": "hot"},
        {"n": -1},
        {"more": 1},
    ],
)
def test_a_calibration_out_of_range_is_refused(copied: Path, changes: dict[str, Any]) -> None:
    edit_json(copied / "calibration.json", **changes)
    assert "calibration.json" in refusal(copied)


def test_a_trainers_checkpoint_is_no_model_directory(bases: dict[str, Path], tmp_path: Path) -> None:
    loaded_model(bases["bert"]).model.save_pretrained(tmp_path / "checkpoint-1")
    assert "rubric" in refusal(tmp_path / "checkpoint-1")


# --- the base model of a frozen one -------------------------------------------------------------------------


@pytest.fixture
def own_base(bases: dict[str, Path], tmp_path: Path) -> tuple[Path, Path, Tensor]:
    """A base model and a frozen model on it that a test may change, and what the model says of the texts."""
    base = Path(shutil.copytree(bases["bert"], tmp_path / "base"))
    loaded = loaded_model(base)
    return base, save(loaded, tmp_path / "model", base, frozen=True), logits_of(loaded)


def test_a_base_whose_weights_changed_is_refused(own_base: tuple[Path, Path, Tensor]) -> None:
    base, folder, _ = own_base
    tensors = load_file(base / "model.safetensors")
    tensors["encoder.layer.1.output.dense.bias"][3] += 1e-6
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    assert "the weights of its base model" in refusal(folder)


def test_a_base_with_a_weight_less_is_refused(own_base: tuple[Path, Path, Tensor]) -> None:
    base, folder, _ = own_base
    tensors = load_file(base / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.bias"]
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    assert "weights are missing" in refusal(folder)


def test_a_base_that_became_another_one_is_refused(own_base: tuple[Path, Path, Tensor]) -> None:
    base, folder, _ = own_base
    shutil.rmtree(base)
    write_base(base, "bert", hidden_size=24)
    assert str(base) in refusal(folder)
    shutil.rmtree(base)
    write_base(base, "roberta")
    assert str(base) in refusal(folder)


def test_a_base_that_is_gone_is_refused_saying_what_to_do(own_base: tuple[Path, Path, Tensor]) -> None:
    base, folder, _ = own_base
    shutil.rmtree(base)
    message = refusal(folder)
    assert str(base) in message
    assert "base_model.source" in message


def test_a_base_that_moved_is_found_where_the_config_is_made_to_say(
    own_base: tuple[Path, Path, Tensor], tmp_path: Path
) -> None:
    base, folder, before = own_base
    base.rename(tmp_path / "elsewhere")
    edit_json(folder / "config.json", base_model__source=str(tmp_path / "elsewhere"))
    assert torch.equal(logits_of(load_model(folder)), before)


def test_a_base_whose_config_changed_scores_as_it_did_in_training(
    own_base: tuple[Path, Path, Tensor],
) -> None:
    base, folder, before = own_base
    edit_json(base / "config.json", num_attention_heads=4, hidden_act="relu", layer_norm_eps=0.5)
    (base / "tokenizer.json").unlink()
    assert torch.equal(logits_of(load_model(folder)), before)


@pytest.mark.parametrize(
    "changes",
    [
        {"base_model": {}},
        {"base_model__kind": "hub"},  # without a revision
        {"base_model__kind": "cloud"},
        {"base_model__source": None},
        {"base_model__source": ["a"]},
        {"base_model__source": "someone/model"},  # must not be looked for on the hub
        {"base_model__weights_sha256": None},
        {"base_model__weights_sha256": "0" * 64},
    ],
)
def test_a_reference_of_nonsense_is_refused_without_asking_a_hub(
    saved: dict[str, Path], tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    folder = Path(shutil.copytree(saved["frozen"], tmp_path / "model"))
    edit_json(folder / "config.json", **changes)
    assert "base" in refusal(folder)


# --- files of no concern, and interruptions -----------------------------------------------------------------


class Bomb:
    """Unpickled, it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.target, "boom")


def test_pickles_in_the_directory_are_never_opened(copied: Path, tmp_path: Path) -> None:
    before = logits_of(load_model(copied))
    target = tmp_path / "boom"
    for name in ("pytorch_model.bin", "best_model.pt", "training_args.bin", "tokenizer.pkl", "model.bin"):
        (copied / name).write_bytes(pickle.dumps(Bomb(target)))
    assert torch.equal(logits_of(load_model(copied)), before)
    assert not target.exists()
    (copied / "model.safetensors").unlink()
    assert "model.safetensors is missing" in refusal(copied)
    assert not target.exists()


def test_links_to_the_files_or_the_directory_load_like_them(copied: Path, tmp_path: Path) -> None:
    before = logits_of(load_model(copied))
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in copied.iterdir():
        (linked / path.name).symlink_to(path)
    assert torch.equal(logits_of(load_model(linked)), before)
    (tmp_path / "link").symlink_to(copied, target_is_directory=True)
    assert torch.equal(logits_of(load_model(tmp_path / "link")), before)


class Interrupted(BaseException):
    """As a keyboard interrupt."""


def interruptions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each time round, the next step of writing a directory is the one that is interrupted."""
    real_move, real_save = modeldir.shutil.move, modeldir.save_file
    for last in range(100):
        steps = iter(range(100))
        done = False

        def step(real: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
            nonlocal done
            if next(steps) == last:  # noqa: B023
                raise Interrupted
            done = True
            return real(*arguments, **options)

        monkeypatch.setattr(modeldir, "save_file", lambda *a, **k: step(real_save, *a, **k))
        monkeypatch.setattr(modeldir.shutil, "move", lambda *a, **k: step(real_move, *a, **k))
        yield
        if next(steps) <= last:
            return


@pytest.mark.parametrize("frozen", [False, True])
def test_an_interrupted_save_is_refused_or_leaves_the_old_model(
    bases: dict[str, Path],
    saved: dict[str, Path],
    tmp_path: Path,
    frozen: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = loaded_model(bases["bert"]), loaded_model(bases["roberta"], pooling="last")
    seen = set()
    for _ in interruptions(monkeypatch):
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
        folder = Path(shutil.copytree(saved["full"], tmp_path / "model"))
        try:
            save(new, folder, bases["roberta"], frozen=frozen)
            outcome = "done"
        except Interrupted:
            outcome = "interrupted"
        if (folder / "model.safetensors").exists():
            expected = new if outcome == "done" else old
            torch.testing.assert_close(logits_of(load_model(folder)), logits_of(expected), atol=1e-6, rtol=0)
            seen.add((outcome, "loads"))
        else:
            assert "incomplete" in refusal(folder)
            seen.add((outcome, "refused"))
        assert not list(folder.glob(".writing*"))
    assert seen == {("interrupted", "loads"), ("interrupted", "refused"), ("done", "loads")}
