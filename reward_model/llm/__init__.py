"""Asking language models: any OpenAI-compatible endpoint, nothing paid twice. Knows nothing of finance."""

from reward_model.llm.client import ChatClient, Counters, Quote
from reward_model.llm.ledger import Ledger, default_ledger
from reward_model.llm.types import (
    KINDS,
    Answer,
    AnswerError,
    BudgetError,
    ChatRequest,
    Endpoint,
    EndpointError,
    Failure,
    Limits,
    Price,
)

__all__ = [
    "KINDS",
    "Answer",
    "AnswerError",
    "BudgetError",
    "ChatClient",
    "ChatRequest",
    "Counters",
    "Endpoint",
    "EndpointError",
    "Failure",
    "Ledger",
    "Limits",
    "Price",
    "Quote",
    "default_ledger",
]
