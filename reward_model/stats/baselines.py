"""What a model must beat: predictions from class frequencies, from length, and from character n-grams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reward_model.samples import IGNORED
from reward_model.stats.arrays import checked_levels

Floats = NDArray[np.float64]

TITLES: dict[str, dict[str, str]] = {
    "majority": {"zh": "类别频率", "en": "class frequencies"},
    "length": {"zh": "仅看长度", "en": "length only"},
    "tfidf_lr": {"zh": "TF-IDF + 逻辑回归", "en": "TF-IDF + logistic regression"},
}
"""Titles for tables, by name and language."""

BASELINES: tuple[str, ...] = tuple(TITLES)

_MAX_FEATURES = 20_000
_MAX_ROTATED = 2_000


def _lengths(train: Sequence[str], test: Sequence[str]) -> tuple[Floats, Floats]:
    from sklearn.preprocessing import StandardScaler

    def log_length(texts: Sequence[str]) -> Floats:
        return np.log1p([[len("".join(text.split()))] for text in texts])

    scaler = StandardScaler().fit(log_length(train))
    return scaler.transform(log_length(train)), scaler.transform(log_length(test))


def _tfidf(train: Sequence[str], test: Sequence[str]) -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 3), sublinear_tf=True, max_features=_MAX_FEATURES
    )
    wide, wide_test = vectorizer.fit_transform(train), vectorizer.transform(test)
    if len(train) > _MAX_ROTATED:
        return wide, wide_test
    # An L2-penalised model never leaves the span of its training rows, so fitting in coordinates of that span
    # gives the same model at a third of the time (Hastie & Tibshirani, "Efficient quadratic regularization
    # for expression arrays", 2004).
    products = (wide @ wide.T).toarray()
    sizes, axes = np.linalg.eigh(products)
    kept = sizes > 1e-10 * sizes.max()
    axes = axes[:, kept] / np.sqrt(sizes[kept])
    return products @ axes, (wide_test @ wide.T) @ axes


# The features of each baseline that has some, and the inverse strength of its L2 penalty: scikit-learn's
# default for one standardised feature, weaker for unit-length rows of thousands.
_FEATURES: dict[str, tuple[Callable[[Sequence[str], Sequence[str]], tuple[Any, Any]], float]] = {
    "length": (_lengths, 1.0),
    "tfidf_lr": (_tfidf, 10.0),
}


def fit_predict(
    name: str,
    train_texts: Sequence[str],
    train_labels: ArrayLike,
    test_texts: Sequence[str],
    num_classes: int,
    seed: int = 0,
) -> Floats:
    """Probabilities [N, D, K] of a baseline for ``test_texts``; nothing but the training texts is fitted on.

    - ``majority``: the frequencies of the training labels, the same for every text.
    - ``length``: multinomial logistic regression on the log of the number of non-blank characters.
    - ``tfidf_lr``: multinomial logistic regression on TF-IDF of the 20,000 most frequent sequences of one to
      three characters. No class weights, so that probabilities stay comparable.

    Args:
        name: one of ``BASELINES``.
        train_texts: M texts.
        train_labels: int [M, D], -100 where there is none: the text is passed over in that dimension.
        test_texts: N texts.
        num_classes: K.
        seed: passed to scikit-learn; the solver in use is deterministic, so results don't depend on it.

    Returns:
        Probabilities that sum to 1 a dimension. A level that training never saw gets 0, the only level it saw
        gets 1, and a dimension without labels gets 1/K each.

    Raises:
        ValueError: if the name is unknown, shapes don't fit, or a label is no level.
    """
    if name not in BASELINES:
        raise ValueError(f"{name} is no baseline; choose from {', '.join(BASELINES)}")
    labels = checked_levels(train_labels, num_classes)
    if labels.ndim != 2 or len(labels) != len(train_texts):
        raise ValueError(f"train_labels must be [{len(train_texts)}, D], not {labels.shape}")
    known = labels != IGNORED
    result = np.empty((len(test_texts), labels.shape[1], num_classes))
    for d in range(labels.shape[1]):
        counts = np.bincount(labels[known[:, d], d], minlength=num_classes)
        result[:, d] = counts / counts.sum() if counts.any() else 1 / num_classes
    undecided = [d for d in range(labels.shape[1]) if len(np.unique(labels[known[:, d], d])) > 1]
    # Without any text that isn't blank there are no features either.
    if name not in _FEATURES or not undecided or not len(test_texts) or not any(map(str.strip, train_texts)):
        return result
    features, strength = _FEATURES[name]
    train, test = features(train_texts, test_texts)
    for d in undecided:
        result[:, d] = _regression(
            train[known[:, d]], labels[known[:, d], d], test, num_classes, strength, seed
        )
    return result


def _regression(
    train: Any, labels: NDArray[np.int64], test: Any, num_classes: int, strength: float, seed: int
) -> Floats:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=2000, random_state=seed).fit(train, labels)
    probabilities = np.zeros((test.shape[0], num_classes))
    probabilities[:, model.classes_] = model.predict_proba(test)
    return probabilities
