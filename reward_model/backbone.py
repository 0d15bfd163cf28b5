"""Base models: where a name leads (embedded, local directory, hub), and how a backbone is built and fed."""

from __future__ import annotations

import inspect
import os
import re
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from reward_model.embedded import EMBEDDED, prepare_embedded
from reward_model.errors import InputError, ResourceError
from reward_model.jsonl import one_line

HUB_PATIENCE = 5.0
"""Seconds that a hub may take to show that it has a model, before a run that has hardly begun gives up."""

_HUB_NAME = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?")
_REMEDY = "use --base-model embedded, or --base-model PATH with a local model directory"
_WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


@dataclass(frozen=True)
class BaseReference:
    """A base model that was found: ``source`` is what ``from_pretrained`` takes, ``revision`` a commit."""

    kind: Literal["embedded", "local", "hub"]
    name: str
    source: str
    revision: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain data, without the machine's own paths except for local models."""
        facts = asdict(self)
        if self.kind != "local":
            facts.pop("source")
        return facts


def resolve_base(
    name: str, *, revision: str | None = None, notify: Callable[[str], None] | None = None
) -> BaseReference:
    """Find the base model ``name``: "embedded", a local directory, or a hub name. Loads no weights.

    Raises:
        InputError: if the name can be none of these.
        ResourceError: if the hub can't be reached or has no such model, within ``HUB_PATIENCE`` seconds.
    """
    if name == EMBEDDED:
        folder = prepare_embedded(notify)
        return BaseReference("embedded", name, str(folder))
    shown_name = one_line(name)
    try:
        path = Path(name).expanduser()
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, RuntimeError):  # too long for a path; the home of nobody
        raise InputError(f"{shown_name}: no such model directory; check the path") from None
    if is_folder:
        if not (path / "config.json").is_file():
            raise InputError(f"{shown_name}: no model directory (config.json is missing); check the path")
        return BaseReference("local", name, str(path.resolve()))
    if is_file:
        raise InputError(f"{shown_name}: is a file; name the directory of a base model")
    if not _HUB_NAME.fullmatch(name) or name.startswith("."):
        raise InputError(f"{shown_name}: no such model directory and no hub name; check the path")
    return BaseReference("hub", name, name, revision or _hub_revision(name, notify))


def _cached_revision(name: str) -> str | None:
    """The commit of the newest copy on this machine that has weights, or None."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    # Not by the hub's own record of "main": a commit that was pinned leaves none.
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model") / "snapshots"
    found = [
        (config.stat().st_mtime, config.parent.name)
        for config in folder.glob("*/config.json")
        if any((config.parent / weights).is_file() for weights in _WEIGHT_FILES)
    ]
    return max(found)[1] if found else None


def _hub_revision(name: str, notify: Callable[[str], None] | None = None) -> str:
    """The commit to pin: that of the newest copy on this machine, else the hub's newest."""
    from huggingface_hub import HfApi, constants, hf_hub_download
    from huggingface_hub.utils import HFValidationError, disable_progress_bars, validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        raise InputError(f"{name}: no such model directory and no hub name; check the path") from None
    cached = _cached_revision(name)
    if cached is not None:
        return cached
    if constants.HF_HUB_OFFLINE:
        raise ResourceError(f"{name}: not on this machine, and the hub is switched off; {_REMEDY}")
    disable_progress_bars()
    outcome: dict[str, Any] = {}

    def ask() -> None:
        try:
            revision = HfApi().model_info(name, timeout=HUB_PATIENCE).sha
            if not revision:
                raise LookupError("its answer names no version")
            # One small file shows that the hub hands out files too, before anything heavy begins.
            hf_hub_download(name, "config.json", revision=revision, etag_timeout=HUB_PATIENCE)
            outcome["revision"] = revision
        except Exception as error:
            outcome["error"] = error

    # A thread, since name resolution alone can hang for longer than any time-out that a client takes.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_PATIENCE)
    if outcome.get("revision"):
        if notify:
            notify(f"基础模型 {name} 尚不在本机，从 hub 下载（版本 {outcome['revision'][:12]}） ...")
        return str(outcome["revision"])
    raise ResourceError(f"{name}: {_hub_fault(outcome.get('error'))}; {_REMEDY}")


def _hub_fault(error: Exception | None) -> str:
    if error is None:
        return f"no answer from the hub within {HUB_PATIENCE:.0f} s"
    if type(error).__name__ in {"RepositoryNotFoundError", "GatedRepoError"}:
        return "the hub has no such public model"
    if isinstance(error, LookupError):
        return f"the hub is of an unknown kind ({error})"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"the hub cannot serve it (HTTP status {status})"
    return f"the hub cannot be reached ({type(error).__name__})"


def quiet_transformers() -> None:
    """Keep the libraries' own progress bars and reports off the terminal; ours say what happens."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # A hub model without safetensors, such as the guide's default, would else be sent off for conversion.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def load_tokenizer(reference: BaseReference) -> Any:
    """The base model's tokenizer, with a padding token.

    Raises:
        InputError: if the directory holds none.
        ResourceError: if the hub fails.
    """
    from transformers import AutoTokenizer

    quiet_transformers()
    try:
        tokenizer = AutoTokenizer.from_pretrained(reference.source, **_where(reference))
    except Exception as error:  # whatever the libraries meet in a damaged file
        raise _load_error(reference, "tokenizer", error) from None
    # Without its files the library would make up a tokenizer that knows no character.
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise _load_error(reference, "tokenizer", ValueError("its vocabulary is missing"))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def _where(reference: BaseReference) -> dict[str, Any]:
    # Said outright, or the libraries would ask at the terminal whether code from a hub may run.
    return {"revision": reference.revision or "main", "trust_remote_code": False}


def _load_error(reference: BaseReference, what: str, error: Exception) -> InputError | ResourceError:
    line = one_line(" ".join(str(error).split()) or type(error).__name__, 200)
    if reference.kind == "hub":
        # What was there but is no use is another matter than a hub that fails.
        useless = isinstance(error, (ValueError, KeyError, ImportError)) and not isinstance(error, OSError)
        kind = InputError if useless else ResourceError
        return kind(f"{reference.name}: its {what} cannot be loaded ({line}); {_REMEDY}")
    return InputError(f"{one_line(reference.name)}: holds no usable {what} ({line}); check the directory")


def load_base_config(reference: BaseReference) -> Any:
    """The base model's configuration.

    Raises:
        InputError: if it is not a text model with one hidden size (or needs code from the hub).
        ResourceError: if the hub fails.
    """
    from transformers import AutoConfig

    quiet_transformers()
    try:
        config = AutoConfig.from_pretrained(reference.source, **_where(reference))
    except Exception as error:  # whatever the libraries meet in a damaged file
        raise _load_error(reference, "configuration", error) from None
    if not isinstance(getattr(config, "hidden_size", None), int) or config.is_encoder_decoder:
        raise InputError(
            f"{reference.name}: a {config.model_type} model has no single stack of hidden states; "
            "name an encoder (BERT, RoBERTa ...) or a decoder (Qwen, Llama ...)"
        )
    return config


def _constructor_options(config: Any) -> dict[str, Any]:
    """Options that leave parts out which pooling here never reads (BERT's pooler would stay untrained)."""
    from transformers import AutoModel

    model_class = AutoModel._model_mapping[type(config)]
    options: dict[str, Any] = {}
    if "add_pooling_layer" in inspect.signature(model_class.__init__).parameters:
        options["add_pooling_layer"] = False
    return options


def build_backbone(config: Any) -> Any:
    """A backbone with random weights of ``config``'s architecture, in fp32."""
    import torch
    from transformers import AutoModel

    from reward_model.attention import use_blocked_attention

    backbone = AutoModel.from_config(config, dtype=torch.float32, **_constructor_options(config))
    use_blocked_attention(backbone)
    return backbone


def load_backbone(reference: BaseReference, config: Any) -> Any:
    """The backbone with its pretrained weights, in fp32; every weight must be there.

    Raises:
        InputError: if weights are missing or of the wrong shape.
        ResourceError: if the hub fails.
    """
    import torch
    from transformers import AutoModel

    from reward_model.attention import use_blocked_attention

    quiet_transformers()
    try:
        backbone, report = AutoModel.from_pretrained(
            reference.source,
            config=config,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told below
            **_where(reference),
            **_constructor_options(config),
        )
    except Exception as error:  # whatever the libraries meet in a damaged file
        raise _load_error(reference, "weights", error) from None
    lacking = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if lacking:
        raise InputError(
            f"{reference.name}: {len(lacking)} weights are missing or of the wrong shape "
            f"(first: {lacking[0]}); the directory is incomplete or its config.json is another model's"
        )
    use_blocked_attention(backbone)
    return backbone


@dataclass(frozen=True)
class InputLayout:
    """What a backbone needs around the tokens of a text.

    Attributes:
        max_positions: tokens that one pass can take, special ones included; None without a limit.
        position_offset: index of the first position (RoBERTa starts behind its padding index).
        takes_positions: whether forward accepts ``position_ids``.
        takes_cache: whether forward accepts ``use_cache`` (a decoder would fill one in vain).
    """

    max_positions: int | None
    position_offset: int
    takes_positions: bool
    takes_cache: bool


def input_layout(backbone: Any) -> InputLayout:
    """Read the layout off a built backbone."""
    parameters = inspect.signature(backbone.forward).parameters
    takes = ("position_ids" in parameters, "use_cache" in parameters)
    table = getattr(getattr(backbone, "embeddings", None), "position_embeddings", None)
    rows = getattr(table, "num_embeddings", None)
    if rows is not None:
        padding = getattr(table, "padding_idx", None)
        offset = 0 if padding is None else padding + 1
        return InputLayout(rows - offset, offset, *takes)
    limit = getattr(getattr(backbone, "config", None), "max_position_embeddings", None)
    return InputLayout(limit if isinstance(limit, int) and limit > 0 else None, 0, *takes)


def special_ids(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and behind a text."""
    plain = tokenizer("一", add_special_tokens=False)["input_ids"]
    full = tokenizer("一")["input_ids"]
    for start in range(len(full) - len(plain) + 1):
        if full[start : start + len(plain)] == plain:
            return full[:start], full[start + len(plain) :]
    return [], []
