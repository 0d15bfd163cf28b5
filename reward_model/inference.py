"""From a report to three scores with confidence: :class:`RewardScorer`.

scorer = RewardScorer.default()
print(scorer.score(open("report.md", encoding="utf-8").read()).scores)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reward_model.errors import InputError, ResourceError
from reward_model.evidence import checked, evidence_row, find_facts, regime_of
from reward_model.jsonl import one_line
from reward_model.padding import without_padding
from reward_model.rubric import Rubric
from reward_model.schema import FactSheet
from reward_model.stats.calibration import apply_temperatures
from reward_model.stats.metrics import expected_scores, predicted_levels

if TYPE_CHECKING:
    from torch import Tensor

    from reward_model.calc.result import CheckResult
    from reward_model.modeldir import LoadedModel

TEXT_ONLY = (
    "没有报表，数字只在正文内部核对过 (no statements were given: figures were checked within the text only)"
)
STYLE_ONLY = (
    "准确性只依据行文判断，文中数字未经核对 (the accuracy score reads style only: no figure was checked)"
)
SHORT = "文本过短，不像训练所用的报告，分数参考价值有限 (far shorter than the reports the model learned from)"
NOT_CHINESE = (
    "中文字符不足三成，而训练文本都是中文 (less than 30% Chinese; the model learned from Chinese only)"
)
BLANK = "holds no words; give the report's text"
SHORT_CHARACTERS = 200
TOLD_PADDING = 0.05
"""From this share of a text on, a score says that padding was not read."""
CHINESE_SHARE = 0.3


@dataclass(frozen=True)
class Score:
    """What the model says of one report.

    Attributes:
        id: as given.
        scores: the most probable level a dimension.
        expected: the expected level a dimension, sum of level x probability.
        probabilities: calibrated probability of each level, a list a dimension.
        confidence: calibrated probability of the level in ``scores``.
        overall: mean of the expected levels over the top level, 0 to 1.
        coverage: share of the report's tokens that was read.
        evidence: which regime the score was made under: "facts", "text" or "off" (figures not checked).
        warnings: what to bear in mind.
        calc: the calculation checker's findings, where it ran.
    """

    id: str
    scores: dict[str, int]
    expected: dict[str, float]
    probabilities: dict[str, list[float]]
    confidence: dict[str, float]
    overall: float
    coverage: float
    evidence: str = "off"
    warnings: list[str] = field(default_factory=list)
    calc: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The line that ``finrm score`` writes; floats with six decimals."""
        line: dict[str, Any] = _rounded(asdict(self))
        return line


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


def default_model_path() -> Path:
    """The model directory that comes with the package."""
    return Path(str(resources.files("reward_model") / "default_model"))


def is_blank(text: str) -> bool:
    """Whether a text holds no letter, character or digit: a model would grade its own padding."""
    return not any(map(str.isalnum, text))


def text_warnings(text: str) -> list[str]:
    """What in a text makes its scores doubtful: too short, hardly Chinese."""
    body = [character for character in text if not character.isspace()]
    found = []
    if len(body) < SHORT_CHARACTERS:
        found.append(SHORT)
    letters = [character for character in body if character.isalpha()]
    # A text of figures alone has no letters, and is no Chinese either.
    if sum("㐀" <= c <= "鿿" for c in letters) < CHINESE_SHARE * max(1, len(letters)):
        found.append(NOT_CHINESE)
    return found


class BaseScorer(ABC):
    """Scores reports; what computes the logits is a subclass's matter.

    A score is the same alone, in any batch and at any padding (within 1e-5 in fp32).

    Attributes:
        rubric: the dimensions and levels.
        temperatures: [D], what calibrates each dimension where no figure was checked.
        regimes: the same [D] for texts that were checked with facts ("facts") and without ("text"); empty for
            a model that takes no evidence.
        max_length: most tokens of a text that are read.
        reads_prompts: whether the model was trained to read prompts before the texts (``include_prompt``).
        skips_padding: whether it reads texts without their padding (``skip_padding``).
    """

    rubric: Rubric
    temperatures: np.ndarray
    regimes: dict[str, np.ndarray]
    max_length: int
    reads_prompts: bool
    skips_padding: bool

    @property
    def titles(self) -> dict[str, str]:
        """Dimension names to Chinese titles."""
        return self.rubric.titles

    @abstractmethod
    def logits(
        self,
        texts: Sequence[str],
        prompts: Sequence[str | None] | None = None,
        progress: Callable[[int, int], None] | None = None,
        evidence: np.ndarray | None = None,
    ) -> tuple[np.ndarray, list[float]]:
        """Raw logits [N, D, K] and the share of each text that was read.

        Args:
            texts: N reports.
            prompts: what they were written to, read only by models trained with ``include_prompt``.
            progress: is called with (texts done, texts in all).
            evidence: [N, E + 1] of what the checker found, the last column 1 where it ran
                (:func:`reward_model.evidence.evidence_rows`); None for a checker that is off.
        """

    def _inputs(self, texts: Sequence[str], prompts: Sequence[str | None] | None) -> list[str]:
        """What the model reads of each text."""
        from reward_model.dataset_multidim import model_input

        asked = prompts if self.reads_prompts and prompts is not None else [None] * len(texts)
        return [model_input(t, p, self.skips_padding) for t, p in zip(texts, asked, strict=True)]

    def probabilities(self, texts: Sequence[str], prompts: Sequence[str | None] | None = None) -> np.ndarray:
        """Calibrated probabilities [N, D, K]."""
        rows = np.array([evidence_row(text, None) for text in texts], dtype=np.float32)
        return self.calibrated(self.logits(texts, prompts, None, rows if self.regimes else None)[0], "off")

    def calibrated(self, logits: np.ndarray, regime: str) -> np.ndarray:
        """Probabilities [N, D, K] of logits that were computed under ``regime``."""
        return apply_temperatures(logits, self.regimes.get(regime, self.temperatures))

    def score(
        self,
        text: str,
        *,
        prompt: str | None = None,
        id: str = "1",
        facts: FactSheet | None = None,
        check: bool = True,
    ) -> Score:
        """Score one report; arguments as for :meth:`score_batch`.

        Raises:
            InputError: if the text is blank.
        """
        return self.score_batch([text], prompts=[prompt], ids=[id], facts=[facts], check=check)[0]

    def score_batch(
        self,
        texts: Sequence[str],
        *,
        prompts: Sequence[str | None] | None = None,
        ids: Sequence[str] | None = None,
        facts: Sequence[FactSheet | None] | None = None,
        check: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Score]:
        """Score many reports; results stand in the order of ``texts``.

        Args:
            texts: N reports.
            prompts: what they were written to; a fact table in one counts as facts.
            ids: names of the results; "1", "2" ... if not given.
            facts: the statements behind each.
            check: let the calculation checker run, where the model takes its findings.
            progress: is called with (texts done, texts in all).

        Raises:
            InputError: if a text is blank.
        """
        names = list(ids) if ids is not None else [str(index + 1) for index in range(len(texts))]
        for name, text in zip(names, texts, strict=True):
            if is_blank(text):
                raise InputError(f"report {one_line(name)}: {BLANK}")
        if not texts:
            return []
        found = self._checked(texts, prompts, facts, check)
        rows = np.array([row for _, _, row in found], dtype=np.float32) if self.regimes else None
        logits, coverage = self.logits(texts, prompts, progress, rows)
        return [
            self._score(name, text, self.calibrated(values[None], regime)[0], share, regime, result)
            for name, text, values, share, (regime, result, _) in zip(
                names, texts, logits, coverage, found, strict=True
            )
        ]

    def _checked(
        self,
        texts: Sequence[str],
        prompts: Sequence[str | None] | None,
        facts: Sequence[FactSheet | None] | None,
        check: bool,
    ) -> list[tuple[str, CheckResult | None, list[float]]]:
        """(regime, what the checker found, its row of evidence) of each text."""
        found = []
        runs = check and bool(self.regimes)
        for index, text in enumerate(texts):
            sheet = facts[index] if facts is not None else None
            if runs:
                sheet = find_facts(sheet, prompts[index] if prompts is not None else None)
            regime = regime_of(sheet, runs)
            result = checked(text, sheet, regime)
            found.append((regime, result, evidence_row(text, result)))
        return found

    def _score(
        self,
        name: str,
        text: str,
        probabilities: np.ndarray,
        coverage: float,
        regime: str,
        result: CheckResult | None,
    ) -> Score:
        dims = self.rubric.names
        expected, levels = expected_scores(probabilities), predicted_levels(probabilities)
        warnings = []
        if "accuracy" in dims and regime != "facts":
            warnings.append(STYLE_ONLY if regime == "off" else TEXT_ONLY)
        if self.skips_padding:
            skipped = 1 - len(without_padding(text)) / len(text)
            if skipped >= TOLD_PADDING:
                warnings.append(
                    f"重复的句子和术语罗列约占 {skipped:.0%}，未读 "
                    f"(sentences said before and bare lists of terms, {skipped:.0%} of it, were not read)"
                )
        if coverage < 1:
            share = f"{min(max(coverage, 0.01), 0.99):.0%}"  # 99.7% is not all of it, 0.3% not nothing
            warnings.append(
                f"只读了开头 {share}，上限为 {self.max_length} 个词元 (only the first {share} was read)"
            )
        return Score(
            id=name,
            scores={dim: int(level) for dim, level in zip(dims, levels, strict=True)},
            expected={dim: float(value) for dim, value in zip(dims, expected, strict=True)},
            probabilities={dim: values.tolist() for dim, values in zip(dims, probabilities, strict=True)},
            confidence={dim: float(values.max()) for dim, values in zip(dims, probabilities, strict=True)},
            overall=float(expected.mean() / (self.rubric.num_classes - 1)),
            coverage=coverage,
            evidence=regime,
            warnings=[*warnings, *text_warnings(text), *(result.warnings if result else ())],
            calc=result.to_dict() if result else None,
        )

    def reward(
        self,
        completions: Iterable[Any],
        prompts: Iterable[Any] | None = None,
        facts: Iterable[Any] | None = None,
        **_: Any,
    ) -> list[float]:
        """A reward function for TRL: ``overall`` of each completion, 0 to 1; a blank one gets 0.

        Args:
            completions: texts, or conversations (lists of ``{"role", "content"}``: the last one counts).
            prompts: likewise, one a completion; a fact table in one is what the figures are checked against.
            facts: fact sheets (or what one is made from: a dict), one a completion, as a data set's column.
            _: whatever else the trainer passes.
        """
        texts = [_message_text(completion) for completion in completions]
        asked: list[str | None] = [None] * len(texts)
        if prompts is not None:
            asked = [_message_text(prompt) for prompt in prompts]
        rewards = [0.0] * len(texts)
        filled = [index for index, text in enumerate(texts) if not is_blank(text)]
        sheets = [_sheet(value) for value in facts] if facts is not None else [None] * len(texts)
        results = self.score_batch(
            [texts[i] for i in filled],
            prompts=[asked[i] for i in filled],
            facts=[sheets[i] for i in filled],
        )
        for index, result in zip(filled, results, strict=True):
            rewards[index] = result.overall
        return rewards


class RewardScorer(BaseScorer):
    """Scores reports with a trained model, in torch.

    Args:
        loaded: a model directory as :func:`reward_model.modeldir.load_model` returns it.
        device: "cpu", "cuda" ...; None takes a GPU where there is one.
        precision: of the backbone. "fp32"; "bf16" is three times as fast on a CPU that has it in hardware and
            moves expected scores by about 0.002 (at most 0.014 of the corpus); "auto" takes it where it is.
            On a CPU the backbone's linear layers are converted in place: it can't be trained on or saved.
        batch_tokens: padded tokens of documents that are read at a time.

    Raises:
        InputError: if the device isn't there, or ``precision`` is none of the three.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        device: str | None = None,
        precision: str = "fp32",
        batch_tokens: int = 8192,
    ) -> None:
        import torch

        from reward_model.precision import PRECISIONS, wants_bf16

        if precision not in PRECISIONS:
            raise InputError(
                f"precision {one_line(precision)}: there is no such; give {', '.join(PRECISIONS)}"
            )

        self.loaded = loaded
        self.rubric = loaded.rubric
        self.temperatures = loaded.temperatures.numpy()
        self.regimes = loaded.regimes
        self.max_length = int(loaded.model.config.max_length)
        self.reads_prompts = bool(loaded.model.config.include_prompt)
        self.skips_padding = bool(loaded.model.config.skip_padding)
        self.batch_tokens = batch_tokens
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            # There and back: some devices take tensors and never give them out again.
            torch.zeros(1, device=self.device).cpu()
            loaded.model.to(self.device)
        except (RuntimeError, AssertionError, ImportError) as error:
            line = one_line(str(error).split("\n")[0])
            raise InputError(f"device {self.device}: {line}; name another, such as cpu") from None
        loaded.model.eval()
        self.bf16 = wants_bf16(precision, self.device)
        if self.bf16 and torch.device(self.device).type == "cpu":
            from reward_model.packed_linear import pack_linear_layers

            pack_linear_layers(loaded.model.backbone)

    @classmethod
    def from_pretrained(
        cls, path: str | Path, *, device: str | None = None, precision: str = "fp32"
    ) -> RewardScorer:
        """Load a model directory.

        Raises:
            InputError: if it is missing, damaged or incomplete.
            ResourceError: if its base model can't be had.
        """
        from reward_model.modeldir import load_model

        return cls(load_model(path), device=device, precision=precision)

    @classmethod
    def default(cls, *, device: str | None = None, precision: str = "fp32") -> RewardScorer:
        """The model that comes with the package (embedded base, heads trained on the shipped corpus)."""
        return cls.from_pretrained(default_model_path(), device=device, precision=precision)

    def logits(
        self,
        texts: Sequence[str],
        prompts: Sequence[str | None] | None = None,
        progress: Callable[[int, int], None] | None = None,
        evidence: np.ndarray | None = None,
    ) -> tuple[np.ndarray, list[float]]:
        """See :meth:`BaseScorer.logits`.

        Raises:
            ResourceError: if the device runs out of memory.
        """
        features, coverage = self.features(texts, prompts, progress)
        return self.classify(features, evidence), coverage

    def features(
        self,
        texts: Sequence[str],
        prompts: Sequence[str | None] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[Tensor, list[float]]:
        """Pooled features [N, F] and the share of each text that was read: what takes the time.

        Raises:
            ResourceError: if the device runs out of memory.
        """
        from reward_model.dataset_multidim import encode_texts
        from reward_model.features import compute_features

        model, tokenizer = self.loaded.model, self.loaded.tokenizer
        ids, coverage = encode_texts(tokenizer, self._inputs(texts, prompts), self.max_length)
        with self._memory():
            features = compute_features(
                model,
                ids,
                pad_id=tokenizer.pad_token_id,
                bf16=self.bf16,
                batch_tokens=self.batch_tokens,
                progress=progress,
            )
        return features, coverage

    def classify(self, features: Tensor, evidence: np.ndarray | None = None) -> np.ndarray:
        """Raw logits [N, D, K] of features; ``evidence`` as for :meth:`logits`.

        Raises:
            ResourceError: if the device runs out of memory.
        """
        import torch

        from reward_model.heads import classify_inputs

        rows = torch.zeros(len(features), 0) if evidence is None else torch.from_numpy(evidence)
        with self._memory():
            return classify_inputs(self.loaded.model, torch.cat([features.cpu(), rows], dim=1))

    @contextmanager
    def _memory(self) -> Iterator[None]:
        import torch

        try:
            yield
        except torch.OutOfMemoryError:
            raise ResourceError(
                f"device {self.device}: out of memory; use another device, or smaller batch_tokens"
            ) from None


def _sheet(value: Any) -> FactSheet | None:
    return value if value is None or isinstance(value, FactSheet) else FactSheet.model_validate(value)


def _message_text(message: Any) -> str:
    """The text of a completion or prompt: a string, or the last message of a conversation."""
    if isinstance(message, str):
        return message
    if isinstance(message, list) and message and isinstance(message[-1], dict):
        content = message[-1].get("content") or ""
        if isinstance(content, list):  # parts, of which some may be images
            return "".join(str(part.get("text") or "") for part in content)
        return str(content)
    raise TypeError("must be texts or lists of messages")
