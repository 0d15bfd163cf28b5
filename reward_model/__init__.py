"""Grade Chinese financial-analysis reports on several dimensions with five levels each.

from reward_model import RewardScorer
RewardScorer.default().score("报告全文 ...").scores
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reward_model.inference import RewardScorer as RewardScorer
    from reward_model.inference import Score as Score
    from reward_model.model import FinancialRewardConfig as FinancialRewardConfig
    from reward_model.model import FinancialRewardModel as FinancialRewardModel

# Loaded when asked for: `import reward_model` must not need torch.
_EXPORTS = {
    "RewardScorer": "reward_model.inference",
    "Score": "reward_model.inference",
    "FinancialRewardModel": "reward_model.model",
    "FinancialRewardConfig": "reward_model.model",
}

__all__ = ["FinancialRewardConfig", "FinancialRewardModel", "RewardScorer", "Score"]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'reward_model' has no attribute {name!r}")
