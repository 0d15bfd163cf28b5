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

HUB_PATIENCE = 6.0
"""Seconds that a hub may take to say whether it has a model, before a run that has hardly begun gives up."""

_HUB_NAME = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
_REMEDY = "use --base-model embedded, or --base-model PATH with a local model directory"


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
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(f"{path}: no model directory (config.json is missing); check the path")
        return BaseReference("local", name, str(path.resolve()))
    if not _HUB_NAME.match(name) or name.startswith((".", "/", "~")):
        raise InputError(f"{name}: no such model directory and no hub name; check the path")
    return BaseReference("hub", name, name, revision or _hub_revision(name))


def _hub_revision(name: str) -> str:
    """The commit to pin: that of the newest copy on this machine, else the hub's newest."""
    from huggingface_hub import HfApi, constants, try_to_load_from_cache

    cached = try_to_load_from_cache(name, "config.json")
    if isinstance(cached, str):
        return Path(cached).parent.name
    if constants.HF_HUB_OFFLINE:
        raise ResourceError(f"{name}: not on this machine, and the hub is switched off; {_REMEDY}")
    outcome: dict[str, Any] = {}

    def ask() -> None:
        try:
            outcome["revision"] = HfApi().model_info(name, timeout=HUB_PATIENCE).sha
        except Exception as error:
            outcome["error"] = error

    # A thread, since name resolution alone can hang for longer than any time-out that a client takes.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_PATIENCE)
    if outcome.get("revision"):
        return str(outcome["revision"])
    error = outcome.get("error")
    if error is None:
        reason = f"no answer from the hub within {HUB_PATIENCE:.0f} s"
    elif type(error).__name__ in {"RepositoryNotFoundError", "GatedRepoError"}:
        reason = "the hub has no such public model"
    else:
        reason = f"the hub cannot be reached ({type(error).__name__})"
    raise ResourceError(f"{name}: {reason}; {_REMEDY}")


def quiet_transformers() -> None:
    """Keep the libraries' own progress bars and reports off the terminal; ours say what happens."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def load_tokenizer(reference: BaseReference) -> Any:
    """The base model's tokenizer, with a padding token.

    Raises:
        InputError: if the directory holds none.
    """
    from transformers import AutoTokenizer

    quiet_transformers()
    try:
        tokenizer = AutoTokenizer.from_pretrained(reference.source, revision=reference.revision or "main")
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _load_error(reference, "tokenizer", error) from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def _load_error(reference: BaseReference, what: str, error: Exception) -> InputError | ResourceError:
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
    if reference.kind == "hub":
        return ResourceError(f"{reference.name}: its {what} cannot be loaded ({line}); {_REMEDY}")
    return InputError(f"{reference.source}: holds no usable {what} ({line}); check the directory")


def load_base_config(reference: BaseReference) -> Any:
    """The base model's configuration.

    Raises:
        InputError: if it is not a text model with one hidden size (or needs code from the hub).
    """
    from transformers import AutoConfig

    quiet_transformers()
    try:
        config = AutoConfig.from_pretrained(reference.source, revision=reference.revision or "main")
    except (OSError, ValueError, KeyError, ImportError) as error:
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

    return AutoModel.from_config(config, dtype=torch.float32, **_constructor_options(config))


def load_backbone(reference: BaseReference, config: Any) -> Any:
    """The backbone with its pretrained weights, in fp32; every weight must be there.

    Raises:
        InputError: if weights are missing or of the wrong shape.
        ResourceError: if the hub fails.
    """
    import torch
    from transformers import AutoModel

    quiet_transformers()
    try:
        backbone, report = AutoModel.from_pretrained(
            reference.source,
            config=config,
            revision=reference.revision or "main",
            dtype=torch.float32,
            output_loading_info=True,
            **_constructor_options(config),
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise _load_error(reference, "weights", error) from None
    except Exception as error:  # safetensors raises a type of its own for a damaged file
        if type(error).__name__ != "SafetensorError":
            raise
        raise _load_error(reference, "weights", error) from None
    lacking = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if lacking:
        raise InputError(
            f"{reference.name}: {len(lacking)} weights are missing or of the wrong shape "
            f"(first: {lacking[0]}); the directory is incomplete or its config.json is another model's"
        )
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
