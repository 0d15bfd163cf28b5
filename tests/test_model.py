"""The model: the guide's shapes, outputs and loss; one score for a text whatever stands around it."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from models import (
    DECODERS,
    ENCODERS,
    FAMILIES,
    TEXTS,
    expected_scores,
    padded,
    reference_of,
    reward_model,
    tokenizer_of,
    write_base,
)
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, Trainer, TrainingArguments

from reward_model.backbone import load_tokenizer
from reward_model.errors import InputError
from reward_model.features import backbone_sha256, cache_key, compute_features
from reward_model.loss import reward_loss
from reward_model.model import FinancialRewardConfig, FinancialRewardModel
from reward_model.windows import split_windows

pytest_plugins = ["fixtures_models"]
families = pytest.mark.parametrize("family", FAMILIES)
POOLINGS = ("mean", "last", "cls")


def tokens_of(family: str, texts: tuple[str, ...] = TEXTS) -> list[list[int]]:
    rows: list[list[int]] = tokenizer_of(family)(list(texts))["input_ids"]
    return rows


def batch_of(family: str, base: Path, side: str = "right", extra: int = 0) -> list[Tensor]:
    pad_id = load_tokenizer(reference_of(base)).pad_token_id
    return padded(tokens_of(family), pad_id, side, extra)


# --- the guide's call, outputs and architecture -------------------------------------------------------------


@families
def test_the_guides_call_returns_the_guides_outputs(bases: dict[str, Path], family: str) -> None:
    model = reward_model(bases[family])
    input_ids, attention_mask = batch_of(family, bases[family])
    labels = torch.tensor([[0, 1, 2], [3, 4, 0], [1, 1, 1], [4, 4, 4]])
    outputs = model(input_ids, attention_mask, labels)
    assert list(outputs.keys()) == ["loss", "logits", "predicted_labels", "accuracy", "per_dim_accuracy"]
    assert outputs["logits"].shape == (4, 3, 5)
    assert torch.equal(outputs["predicted_labels"], outputs["logits"].argmax(-1))
    assert outputs["loss"].shape == ()
    right = outputs["predicted_labels"] == labels
    assert type(outputs["accuracy"]) is float
    assert outputs["accuracy"] == pytest.approx(right.float().mean().item())
    torch.testing.assert_close(outputs["per_dim_accuracy"], right.float().mean(0))
    for name in outputs:
        assert outputs[name] is getattr(outputs, name)


def test_without_labels_loss_and_accuracies_are_none_by_key_too(bases: dict[str, Path]) -> None:
    outputs = reward_model(bases["bert"])(*batch_of("bert", bases["bert"]))
    for name in ("loss", "accuracy", "per_dim_accuracy"):
        assert outputs[name] is None
        assert getattr(outputs, name) is None
    assert list(outputs.keys()) == ["logits", "predicted_labels"]
    with pytest.raises(KeyError):
        outputs["no_such_output"]


def test_the_heads_have_the_guides_layers(bases: dict[str, Path]) -> None:
    model = reward_model(bases["bert"], dropout=0.25)
    assert len(model.heads) == 3
    for head in model.heads:
        first, relu, dropout, last = head
        assert (first.in_features, first.out_features) == (16, 8)
        assert isinstance(relu, nn.ReLU)
        assert isinstance(dropout, nn.Dropout)
        assert dropout.p == 0.25
        assert (last.in_features, last.out_features) == (8, 5)


def test_each_head_reads_the_pooled_output_and_gives_its_own_dimension(bases: dict[str, Path]) -> None:
    model = reward_model(bases["bert"])
    inputs = batch_of("bert", bases["bert"])
    features = model.encode(*inputs)
    by_hand = torch.stack([head(features) for head in model.heads], dim=1)
    torch.testing.assert_close(model(*inputs).logits, by_hand)


def test_one_shared_head_gives_the_same_shape(bases: dict[str, Path]) -> None:
    model = reward_model(bases["bert"], use_multi_head=False)
    assert [
        layer.out_features for head in model.heads for layer in head if hasattr(layer, "out_features")
    ] == [
        8,
        15,
    ]
    assert model(*batch_of("bert", bases["bert"])).logits.shape == (4, 3, 5)


@pytest.mark.parametrize("multi", [True, False])
def test_other_numbers_of_dimensions_and_levels(bases: dict[str, Path], multi: bool) -> None:
    model = reward_model(bases["qwen3"], num_classes=10, num_dimensions=4, use_multi_head=multi)
    labels = torch.tensor([[9, 0, 5, 3]] * 4)
    outputs = model(*batch_of("qwen3", bases["qwen3"]), labels)
    assert outputs.logits.shape == (4, 4, 10)
    assert outputs.per_dim_accuracy.shape == (4,)
    assert torch.equal(outputs.loss, F.cross_entropy(outputs.logits.view(-1, 10), labels.view(-1)))


@families
def test_the_guides_construction_loads_the_pretrained_backbone(bases: dict[str, Path], family: str) -> None:
    model = FinancialRewardModel(base_model_name=str(bases[family]), num_classes=10)
    assert model.heads[0][-1].out_features == 10
    stored = AutoModel.from_pretrained(bases[family]).state_dict()
    own = model.backbone.state_dict()
    assert set(own) == {name for name in stored if not name.startswith("pooler.")}
    assert all(torch.equal(value, stored[name]) for name, value in own.items())


def test_a_config_builds_a_backbone_for_a_state_dict_to_be_loaded_into(bases: dict[str, Path]) -> None:
    model = reward_model(bases["roberta"], pool_layers=[1, 2], pool_stats=["mean", "max"])
    again = FinancialRewardModel(FinancialRewardConfig.from_dict(model.config.to_dict())).eval()
    assert backbone_sha256(again.backbone) != backbone_sha256(model.backbone)
    again.load_state_dict(model.state_dict(), strict=True)
    inputs = batch_of("roberta", bases["roberta"])
    assert torch.equal(again(*inputs).logits, model(*inputs).logits)


def test_a_config_and_keywords_at_once_are_refused(bases: dict[str, Path]) -> None:
    config = reward_model(bases["bert"]).config
    with pytest.raises(TypeError):
        FinancialRewardModel(config, num_classes=10)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pooling", "average"),
        ("pool_stats", ["median"]),
        ("pool_layers", [0.5]),
        ("pool_layers", [3]),
        ("num_classes", 1),
        ("num_dimensions", 0),
        ("dropout", 1.0),
        ("window_overlap", -1),
        ("class_weights", [1.0, 2.0]),
        ("class_weights", [1.0, 2.0, 3.0, 4.0, -5.0]),
        ("dimension_names", ["depth"]),
        ("prefix_ids", ["[CLS]"]),
    ],
)
def test_a_setting_of_no_use_is_refused_by_name(bases: dict[str, Path], field: str, value: Any) -> None:
    with pytest.raises(InputError, match=field):
        FinancialRewardModel(base_model_name=str(bases["bert"]), **{field: value})


def test_a_base_with_too_few_positions_is_refused(tmp_path: Path) -> None:
    base = write_base(tmp_path, "bert", positions=2)
    with pytest.raises(InputError, match="2 positions"):
        FinancialRewardModel(base_model_name=str(base))


def test_what_berts_tokenizer_returns_can_be_passed_whole(bases: dict[str, Path]) -> None:
    model = reward_model(bases["bert"])
    encoded = load_tokenizer(reference_of(bases["bert"]))(list(TEXTS), padding=True, return_tensors="pt")
    assert "token_type_ids" in encoded
    assert torch.equal(model(**encoded).logits, model(*batch_of("bert", bases["bert"])).logits)


def test_a_mask_that_is_not_given_is_all_ones(bases: dict[str, Path]) -> None:
    model = reward_model(bases["bert"])
    ids = torch.tensor([tokens_of("bert")[0]])
    assert torch.equal(model(ids).logits, model(ids, torch.ones_like(ids)).logits)


def test_heads_read_features_standardised_by_the_stored_constants(bases: dict[str, Path]) -> None:
    model = reward_model(bases["bert"])
    features = torch.randn(4, 16, generator=torch.Generator().manual_seed(9))
    plain = model.classify(features)
    with torch.no_grad():
        model.feature_mean.fill_(3)
        model.feature_scale.fill_(0.5)
    torch.testing.assert_close(model.classify(features * 0.5 + 3), plain)
    assert {"feature_mean", "feature_scale"} <= set(model.head_state())


def test_evidence_is_a_linear_term_that_its_mask_switches_off(bases: dict[str, Path]) -> None:
    model = reward_model(bases["bert"], evidence_size=2)
    features = torch.randn(2, 16, generator=torch.Generator().manual_seed(9))
    evidence = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    plain = model.classify(features)
    assert torch.equal(model.classify(features, evidence=evidence), plain), "untrained, it adds nothing"
    with torch.no_grad():
        model.evidence.weight.copy_(torch.arange(30.0).view(15, 2))
    found = model.classify(features, evidence=evidence, evidence_mask=torch.tensor([1, 0]))
    term = (torch.arange(30.0).view(15, 2) @ torch.tensor([1.0, 2.0])).view(3, 5)
    torch.testing.assert_close(found, plain + torch.stack([term, torch.zeros(3, 5)]))
    with pytest.raises(ValueError, match="2 evidence values, not 3"):
        model.classify(features, evidence=torch.ones(2, 3))


def test_features_stand_in_for_tokens(bases: dict[str, Path]) -> None:
    model = reward_model(bases["bert"])
    inputs = batch_of("bert", bases["bert"])
    assert torch.equal(model(features=model.encode(*inputs)).logits, model(*inputs).logits)
    with pytest.raises(ValueError, match="input_ids or features"):
        model()


# --- the loss -----------------------------------------------------------------------------------------------

LOGITS = torch.randn(6, 3, 5, generator=torch.Generator().manual_seed(5))
LABELS = torch.randint(0, 5, (6, 3), generator=torch.Generator().manual_seed(6))
MASKED = LABELS.masked_fill(torch.rand(6, 3, generator=torch.Generator().manual_seed(7)) < 0.4, -100)


def test_the_loss_is_the_guides_formula_to_the_bit() -> None:
    assert torch.equal(reward_loss(LOGITS, LABELS), F.cross_entropy(LOGITS.view(-1, 5), LABELS.view(-1)))


def test_the_models_loss_is_the_guides_formula_of_its_logits(bases: dict[str, Path]) -> None:
    outputs = reward_model(bases["llama"])(*batch_of("llama", bases["llama"]), LABELS[:4])
    assert torch.equal(outputs.loss, F.cross_entropy(outputs.logits.view(-1, 5), LABELS[:4].view(-1)))


def test_class_weights_a_level_equal_cross_entropys_own() -> None:
    weights = torch.tensor([2.0, 1.5, 1.0, 1.0, 0.25])  # the guide's, nearly
    for labels in (LABELS, MASKED):
        torch.testing.assert_close(
            reward_loss(LOGITS, labels, weights),
            F.cross_entropy(LOGITS.view(-1, 5), labels.view(-1), weight=weights),
        )


def test_class_weights_a_dimension_equal_the_sum_by_hand() -> None:
    weights = torch.rand(3, 5, generator=torch.Generator().manual_seed(8)) + 0.1
    total, mass = 0.0, 0.0
    for row in range(6):
        for dimension in range(3):
            label = int(MASKED[row, dimension])
            if label != -100:
                weight = weights[dimension, label].item()
                total -= weight * LOGITS[row, dimension].log_softmax(-1)[label].item()
                mass += weight
    assert reward_loss(LOGITS, MASKED, weights).item() == pytest.approx(total / mass, rel=1e-5)


def test_a_tensor_of_class_weights_as_in_the_guide_reaches_the_loss(bases: dict[str, Path]) -> None:
    weights = torch.tensor([2.0, 1.5, 1.0, 1.0, 0.5])
    model = reward_model(bases["bert"], class_weights=weights)
    outputs = model(*batch_of("bert", bases["bert"]), LABELS[:4])
    expected = F.cross_entropy(outputs.logits.view(-1, 5), LABELS[:4].view(-1), weight=weights)
    torch.testing.assert_close(outputs.loss, expected)
    model.config.to_json_string()  # and can still be saved


def test_weights_of_zero_give_a_loss_of_zero_not_nan() -> None:
    assert reward_loss(LOGITS, LABELS, torch.zeros(5)) == 0


def test_ignored_labels_do_not_count() -> None:
    known = MASKED.view(-1) != -100
    kept = F.cross_entropy(LOGITS.view(-1, 5)[known], MASKED.view(-1)[known])
    torch.testing.assert_close(reward_loss(LOGITS, MASKED), kept)


def test_a_head_without_labels_has_no_accuracy_and_a_finite_loss(bases: dict[str, Path]) -> None:
    model = reward_model(bases["bert"])
    labels = LABELS[:4].clone()
    labels[:, 1] = -100
    outputs = model(*batch_of("bert", bases["bert"]), labels)
    outputs.loss.backward()
    assert math.isfinite(outputs.loss.item())
    assert torch.isnan(outputs.per_dim_accuracy).tolist() == [False, True, False]
    known = labels != -100
    right = (outputs.predicted_labels == labels)[known]
    assert outputs.accuracy == pytest.approx(right.float().mean().item())
    assert not model.heads[1][-1].weight.grad.any()
    assert model.heads[0][-1].weight.grad.any()


@pytest.mark.parametrize("weights", [None, [1.0] * 5])
def test_a_batch_without_any_label_has_loss_zero_and_can_go_backward(
    bases: dict[str, Path], weights: list[float] | None
) -> None:
    model = reward_model(bases["bert"], class_weights=weights)
    outputs = model(*batch_of("bert", bases["bert"]), torch.full((4, 3), -100))
    outputs.loss.backward()
    assert outputs.loss.item() == 0
    assert math.isnan(outputs.accuracy)
    assert torch.isnan(outputs.per_dim_accuracy).all()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_heads_and_loss_stay_in_fp32_under_autocast(bases: dict[str, Path]) -> None:
    model = reward_model(bases["bert"])
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(*batch_of("bert", bases["bert"]), LABELS[:4])
    assert outputs.logits.dtype == outputs.loss.dtype == torch.float32
    assert torch.equal(outputs.loss, F.cross_entropy(outputs.logits.view(-1, 5), LABELS[:4].view(-1)))


# --- one score for a text, whatever stands around it --------------------------------------------------------


def long_rows(family: str) -> list[list[int]]:
    """Texts of all lengths: within the 32 positions of the tiny models, just over, and far over."""
    sentence = "2024年公司营业收入同比增长12.6%，毛利率下降；现金流净额3.2亿元，资产负债率上升。"
    texts = [*TEXTS, "", sentence, sentence[7:] * 3, sentence * 8]
    return tokens_of(family, tuple(texts))


@families
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_texts_score_is_the_same_at_any_padding_in_any_batch_and_order(
    bases: dict[str, Path], family: str, pooling: str
) -> None:
    options = {"pool_stats": ["mean", "std", "max"]} if pooling == "mean" else {}
    model = reward_model(bases[family], pooling=pooling, window_overlap=8, **options)
    pad_id = load_tokenizer(reference_of(bases[family])).pad_token_id
    rows = long_rows(family)
    with torch.inference_mode():
        alone = torch.cat([expected_scores(model(torch.tensor([row]).long()).logits) for row in rows])
        # A test of nothing, were all the scores alike (as by a decoder's first token, which sees no other).
        assert alone.std(0).min() > 0.02 or (pooling == "cls" and family in DECODERS)
        for side in ("left", "right"):
            for extra in (0, 9):
                found = expected_scores(model(*padded(rows, pad_id, side, extra)).logits)
                assert (found - alone).abs().max() <= 1e-5
        shuffle = random.Random(1)
        for _ in range(4):
            some = shuffle.sample(range(len(rows)), shuffle.randint(1, len(rows)))
            found = expected_scores(model(*padded([rows[i] for i in some], pad_id, "left")).logits)
            assert (found - alone[some]).abs().max() <= 1e-5


@families
def test_a_text_that_holds_the_padding_token_is_read_in_full(bases: dict[str, Path], family: str) -> None:
    model = reward_model(bases[family])
    pad_id = load_tokenizer(reference_of(bases[family])).pad_token_id
    row = tokens_of(family)[0]
    holding = [*row[:5], pad_id, *row[5:], pad_id]
    scores = {}
    with torch.inference_mode():
        for side in ("left", "right"):
            for rows in ([holding], [row * 3, holding]):
                ids, mask = padded(rows, pad_id, side, 3)
                scores[side, len(rows)] = expected_scores(model(ids, mask).logits)[-1]
        plain = expected_scores(model(torch.tensor([row])).logits)[0]
    first = next(iter(scores.values()))
    assert all((found - first).abs().max() <= 1e-5 for found in scores.values())
    assert (first - plain).abs().max() > 1e-3, "the added tokens must count"


def test_roberta_counts_positions_over_a_padding_token_in_the_text(bases: dict[str, Path]) -> None:
    # Left to itself it would give such a token, and none other, the position of the padding.
    model = reward_model(bases["roberta"])
    raw = AutoModel.from_pretrained(bases["roberta"]).eval()
    row = torch.tensor([[0, 9, 1, 10, 1, 11, 2]])
    with torch.inference_mode():
        hidden = raw(input_ids=row, position_ids=torch.arange(2, 9)[None]).last_hidden_state
        torch.testing.assert_close(model.encode(row, torch.ones_like(row)), hidden.mean(1))


@families
def test_bf16_scores_hardly_differ_between_padding_layouts(bases: dict[str, Path], family: str) -> None:
    model = reward_model(bases[family])
    pad_id = load_tokenizer(reference_of(bases[family])).pad_token_id
    rows = long_rows(family)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        alone = torch.cat([expected_scores(model(torch.tensor([row]).long()).logits) for row in rows])
        for side in ("left", "right"):
            found = expected_scores(model(*padded(rows, pad_id, side, 5)).logits)
            assert (found - alone).abs().max() <= 5e-3


@families
def test_a_document_without_a_token_gets_finite_scores_and_gradients(
    bases: dict[str, Path], family: str
) -> None:
    model = reward_model(bases[family], pool_stats=["mean", "std", "max"])
    ids, mask = batch_of(family, bases[family])
    mask[1] = 0
    outputs = model(ids, mask, LABELS[:4])
    outputs.loss.backward()
    assert torch.isfinite(outputs.logits).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    others = [0, 2, 3]
    whole = model(ids[others], mask[others]).logits
    torch.testing.assert_close(outputs.logits[others], whole, atol=1e-5, rtol=0)


# --- windows and the backbone -------------------------------------------------------------------------------


def pooled(states: Tensor, pooling: str, stats: list[str]) -> Tensor:
    if pooling != "mean":
        return states[0 if pooling == "cls" else -1]
    found = {
        "mean": states.mean(0),
        "std": states.std(0, correction=0),
        "max": states.amax(0),
    }
    return torch.cat([found[kind] for kind in stats])


@families
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_text_within_the_positions_is_one_plain_pass_of_the_backbone(
    bases: dict[str, Path], family: str, pooling: str
) -> None:
    stats = ["std", "mean", "max"] if pooling == "mean" else ["mean"]
    model = reward_model(bases[family], pooling=pooling, pool_stats=stats, pool_layers=[0, 1, -1])
    raw = AutoModel.from_pretrained(bases[family]).eval()
    for row in tokens_of(family):
        row = row[:32]
        with torch.inference_mode():
            hidden = raw(input_ids=torch.tensor([row]), output_hidden_states=True).hidden_states
            by_hand = torch.cat([pooled(hidden[layer][0], pooling, stats) for layer in (0, 1, -1)])
            found = model.encode(torch.tensor([row]), torch.ones(1, len(row)).long())[0]
        torch.testing.assert_close(found, by_hand, atol=1e-5, rtol=1e-5)


@families
def test_a_long_text_pools_all_the_states_that_its_windows_own(bases: dict[str, Path], family: str) -> None:
    stats = ["mean", "std", "max"]
    model = reward_model(bases[family], pool_stats=stats, window_overlap=8)
    raw = AutoModel.from_pretrained(bases[family]).eval()
    row = long_rows(family)[-1]
    ids = torch.tensor([row])
    config = model.config
    windows = split_windows(
        ids,
        torch.ones_like(ids),
        limit=32,
        overlap=8,
        prefix=config.prefix_ids,
        suffix=config.suffix_ids,
        pad_id=0,
    )
    assert len(windows.document) > 8
    states = []
    with torch.inference_mode():
        for window, mask, owned in zip(windows.input_ids, windows.attention_mask, windows.owned, strict=True):
            hidden = raw(input_ids=window[None, mask.bool()]).last_hidden_state[0]
            states.append(hidden[owned[mask.bool()].bool()])
        found = model.encode(ids, torch.ones_like(ids))[0]
    assert sum(map(len, states)) == len(row)
    torch.testing.assert_close(found, pooled(torch.cat(states), "mean", stats), atol=1e-5, rtol=1e-5)


def seen_lengths(model: FinancialRewardModel) -> list[tuple[int, int]]:
    """Fills with the (rows, columns) of every pass of the backbone."""
    seen: list[tuple[int, int]] = []
    forward = model.backbone.forward

    def record(input_ids: Tensor, **options: Any) -> Any:
        seen.append(tuple(input_ids.shape))  # type: ignore[arg-type]
        return forward(input_ids=input_ids, **options)

    model.backbone.forward = record
    return seen


@pytest.mark.parametrize("family", ENCODERS)
def test_512_tokens_take_one_pass_and_513_take_windows(tmp_path: Path, family: str) -> None:
    base = write_base(tmp_path, family, positions=512)  # of RoBERTa's 514 rows, 512 are usable
    model = reward_model(base)
    assert model.backbone.embeddings.position_embeddings.num_embeddings == (
        514 if family == "roberta" else 512
    )
    prefix, suffix = model.config.prefix_ids, model.config.suffix_ids
    seen = seen_lengths(model)
    with torch.inference_mode():
        for length in (512, 513):
            ids = torch.tensor([[*prefix, *([9, 10, 11] * 200)[: length - 2], *suffix]])
            assert torch.isfinite(model(ids).logits).all()
    assert seen[0] == (1, 512)
    assert sum(rows for rows, _ in seen) == 3
    assert all(columns <= 512 for _, columns in seen)


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_with_enough_positions_takes_one_pass(tmp_path: Path, family: str) -> None:
    model = reward_model(write_base(tmp_path, family, positions=4096))
    seen = seen_lengths(model)
    with torch.inference_mode():
        model(torch.randint(3, 100, (1, 3000)))
    assert seen == [(1, 3000)]


def test_a_text_of_twenty_thousand_tokens_is_read_to_its_end(bases: dict[str, Path]) -> None:
    model = reward_model(bases["bert"], window_overlap=8, pool_stats=["max"])
    ids = torch.full((1, 20_000), 9)
    ids[0, 0], ids[0, -1] = 2, 3
    changed = ids.clone()
    changed[0, -2] = 30
    with torch.inference_mode():
        before, after = model(ids).logits, model(changed).logits
    assert torch.isfinite(before).all()
    assert not torch.equal(before, after)


# --- gradients, training, persistence through transformers --------------------------------------------------


@families
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable")
def test_full_training_reaches_every_weight_of_backbone_and_heads(
    bases: dict[str, Path], family: str, checkpointing: bool
) -> None:
    model = reward_model(bases[family], window_overlap=8).train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    pad_id = load_tokenizer(reference_of(bases[family])).pad_token_id
    ids, mask = padded(long_rows(family), pad_id)
    model(ids, mask, torch.ones(len(ids), 3).long()).loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_frozen_training_leaves_the_backbone_alone(bases: dict[str, Path]) -> None:
    model = reward_model(bases["bert"]).train()
    before = backbone_sha256(model.backbone)
    features = compute_features(model, tokens_of("bert"), pad_id=0)
    assert model.backbone.training
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(features=features, labels=LABELS[:4]).loss.backward()
    optimizer.step()
    assert all(p.grad is None for p in model.backbone.parameters())
    assert all(p.grad is not None and p.grad.any() for p in model.heads[0].parameters())
    assert backbone_sha256(model.backbone) == before


def test_features_are_those_of_the_text_alone_without_dropout(bases: dict[str, Path]) -> None:
    model = reward_model(bases["bert"]).train()
    rows = long_rows("bert")
    found = compute_features(model, rows, pad_id=0, batch_tokens=64)
    model.eval()
    with torch.inference_mode():
        alone = torch.cat([model.encode(torch.tensor([row]), torch.ones(1, len(row)).long()) for row in rows])
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)


def test_cached_features_of_a_backbone_put_together_otherwise_are_not_taken(bases: dict[str, Path]) -> None:
    model = reward_model(bases["bert"])
    digest = backbone_sha256(model.backbone)
    keys = {cache_key(model, digest, False), cache_key(model, digest, True)}
    model.config.base_config["num_attention_heads"] = 4  # the same weights, other features
    keys.add(cache_key(model, digest, False))
    assert len(keys) == 3


def items(family: str) -> list[dict[str, Any]]:
    ids, mask = padded([row[:40] for row in long_rows(family)], 0)
    return [
        {"input_ids": i, "attention_mask": m, "labels": torch.tensor([row % 5, 1, 4])}
        for row, (i, m) in enumerate(zip(ids, mask, strict=True))
    ]


def trainer_of(model: FinancialRewardModel, folder: Path, **options: Any) -> Trainer:
    settings: dict[str, Any] = {"report_to": "none", "use_cpu": True, "disable_tqdm": True}
    arguments = TrainingArguments(output_dir=str(folder), **(settings | options))
    return Trainer(model=model, args=arguments, train_dataset=items("bert"))


def test_trainers_predict_and_evaluate_work_with_and_without_labels(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    trainer = trainer_of(reward_model(bases["bert"]), tmp_path, per_device_eval_batch_size=3)
    found = trainer.predict(items("bert"))
    assert found.predictions.shape == (8, 3, 5)
    assert found.label_ids.shape == (8, 3)
    assert math.isfinite(found.metrics["test_loss"])
    bare = [{name: item[name] for name in ("input_ids", "attention_mask")} for item in items("bert")]
    assert trainer.predict(bare).predictions.shape == (8, 3, 5)
    assert math.isfinite(trainer.evaluate(items("bert"))["eval_loss"])


def test_trainer_saves_every_weight_and_the_config(bases: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = reward_model(bases["bert"])
    trainer = trainer_of(model, tmp_path, max_steps=1, save_steps=1, per_device_train_batch_size=4)
    trainer.train()
    stored = load_file(tmp_path / "checkpoint-1" / "model.safetensors")
    assert set(stored) == set(model.state_dict())
    assert all(torch.equal(value, model.state_dict()[name].cpu()) for name, value in stored.items())
    config = FinancialRewardConfig.from_pretrained(tmp_path / "checkpoint-1")
    assert FinancialRewardModel(config).load_state_dict(stored, strict=True)


def test_gradients_of_one_batch_of_eight_equal_four_accumulated_of_two(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    moved = []
    for batch, steps in ((8, 1), (2, 4)):
        model = reward_model(bases["bert"], dropout=0.0)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        before = {name: value.clone() for name, value in model.state_dict().items()}
        trainer_of(
            model,
            tmp_path / str(batch),
            max_steps=1,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=steps,
            optim="sgd",
            learning_rate=0.1,
            max_grad_norm=0.0,
            save_strategy="no",
        ).train()
        moved.append({name: value - before[name] for name, value in model.state_dict().items()})
    assert max(value.abs().max().item() for value in moved[0].values()) > 1e-3
    for name, value in moved[0].items():
        torch.testing.assert_close(moved[1][name], value, atol=2e-6, rtol=1e-3)


def test_the_pooler_that_pooling_never_reads_is_left_out(bases: dict[str, Path]) -> None:
    names = reward_model(bases["bert"]).backbone.state_dict()
    assert not [name for name in names if "pooler" in name]
