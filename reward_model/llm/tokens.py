"""How many tokens a text is, without the model's tokenizer: good for a quote and a cap, not for a bill."""

from __future__ import annotations

HAN, DIGIT, OTHER_ASCII, MESSAGE = 0.7, 1.0, 0.3, 8
"""Tokens a Chinese character or full-width mark (0.6 to 0.75 with current Chinese vocabularies), a digit
(split one by one by Qwen's), any other ASCII character (English and JSON), and a message's frame."""


def estimate_tokens(text: str) -> int:
    """Tokens of ``text`` by what its characters are. The ledger's own usage rows correct it, once there
    are any."""
    wide = (len(text.encode("utf-8", "surrogatepass")) - len(text)) / 2
    digits = sum(map(text.count, "0123456789"))
    narrow = max(0.0, len(text) - wide - digits)
    return round(HAN * wide + DIGIT * digits + OTHER_ASCII * narrow) + MESSAGE
