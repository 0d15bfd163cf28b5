"""The calculation checker: figures of a Chinese financial report, recomputed.

Pure Python: no torch, no numpy, no network. ``check.check_text`` is the door; ``figures`` and ``periods`` read a
text, ``rules`` know metrics and formulas, ``binding`` says what a figure claims, ``claims`` what it should be.
"""
