"""Training the upper layers only, on activations that are computed once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_bert import report_rows, write_tiny_bert
from transformers import AutoModel, BertConfig, LlamaConfig

from reward_model.config import TrainConfig
from reward_model.dataset_multidim import pad_batch
from reward_model.errors import InputError
from reward_model.model import FinancialRewardConfig, FinancialRewardModel
from reward_model.modeldir import load_model
from reward_model.samples import GradedText
from reward_model.train_multidim import main, train
from reward_model.upper import (
    ActivationDataset,
    activations,
    collate_activations,
    first_trained,
    use_upper_part,
)


def tiny(kind: str, **others: object) -> FinancialRewardModel:
    shape = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "vocab_size": 60}
    if kind == "bert":
        base = BertConfig(**shape, intermediate_size=24, max_position_embeddings=24)
    else:
        base = LlamaConfig(**shape, intermediate_size=24, max_position_embeddings=64, num_key_value_heads=1)
    torch.manual_seed(0)
    config = FinancialRewardConfig(
        base_config={**base.to_dict(), "model_type": base.model_type},
        prefix_ids=[2] if kind == "bert" else [],
        suffix_ids=[3] if kind == "bert" else [],
        window_overlap=4,
        **others,
    )
    return FinancialRewardModel(config, backbone=AutoModel.from_config(base)).eval()


def sequences(kind: str) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    # The second is longer than BERT's 24 positions and comes in windows.
    bodies = [torch.randint(5, 60, (n,), generator=generator).tolist() for n in (9, 50, 3)]
    return [[2, *body, 3] if kind == "bert" else body for body in bodies]


@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize("trained", [1, 2, 4])
@pytest.mark.parametrize("options", [{}, {"pool_layers": [3, -1], "pool_stats": ["mean", "std"]}])
def test_kept_activations_give_the_features_of_the_whole_backbone(
    kind: str, trained: int, options: dict[str, object]
) -> None:
    model = tiny(kind, **options)
    ids = sequences(kind)
    with torch.no_grad():
        whole = model.encode(*pad_batch(ids, 0))
    first = first_trained(model.backbone, trained)
    use_upper_part(model, first)
    kept = activations(model, ids, first, pad_id=0, bf16=False)
    batch = collate_activations([ActivationDataset(kept, torch.zeros(3, 3))[i] for i in range(3)])
    with torch.no_grad():
        assert torch.allclose(model.encode_prepared(batch["prepared"], 3), whole, atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_only_the_upper_layers_get_gradients(kind: str) -> None:
    model = tiny(kind)
    use_upper_part(model, 3)
    kept = activations(model, sequences(kind), 3, pad_id=0, bf16=False)
    items = [ActivationDataset(kept, torch.tensor([[1, 2, 3]] * 3))[i] for i in range(3)]
    model.train()
    model(**collate_activations(items)).loss.backward()
    named = {name for name, value in model.named_parameters() if value.grad is not None}
    assert any(".3." in name for name in named)
    assert not any(
        f".{layer}." in name for name in named if name.startswith("backbone") for layer in (0, 1, 2)
    )
    assert not any("embed" in name for name in named)
    # Shared with the backbone, not a second copy of it.
    assert not any(name.startswith("upper") for name, _ in model.named_parameters())


def test_pooling_below_the_trained_layers_is_refused() -> None:
    with pytest.raises(InputError, match="pool_layers: layer 1 lies below"):
        use_upper_part(tiny("bert", pool_layers=[1, -1]), 2)


def test_more_layers_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match="has 4 layers"):
        first_trained(tiny("bert").backbone, 5)


def _texts(n: int) -> list[GradedText]:
    rows = report_rows(n)
    return [
        GradedText(str(i), r["text"], tuple(r["scores"].values()), group=str(i)) for i, r in enumerate(rows)
    ]


def test_training_changes_the_upper_layers_alone_and_the_model_is_stored_whole(tmp_path: Path) -> None:
    base = write_tiny_bert(tmp_path / "base", layers=3)
    settings = TrainConfig(
        base_model_name=str(base),
        output_dir=str(tmp_path / "out"),
        trainable_layers=1,
        num_epochs=2,
        learning_rate=1e-2,
        max_length=48,
        precision="fp32",
    )
    outcome = train(settings, train_texts=_texts(20))
    before = AutoModel.from_pretrained(base).state_dict()
    after = load_model(outcome.path).model.backbone.state_dict()
    changed = {
        name.split(".")[2] for name in after if "layer" in name and not torch.equal(after[name], before[name])
    }
    assert changed == {"2"}
    assert torch.equal(
        after["embeddings.word_embeddings.weight"], before["embeddings.word_embeddings.weight"]
    )


def test_the_two_settings_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--freeze-backbone", "--trainable-layers", "2", "--base-model", "embedded"]) == 2
    assert "leave trainable_layers out" in capsys.readouterr().err
