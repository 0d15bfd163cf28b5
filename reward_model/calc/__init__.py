"""The calculation checker: figures of a Chinese financial report, recomputed.

Pure Python: no torch, no numpy, no network. ``check.check_text`` is the door. ``figures``, ``periods`` and
``rules`` say what stands in a text, ``binder`` what each figure claims, ``expected``, ``local`` and
``arithmetic`` what it should be, ``findings`` how the two compare, ``claims`` what people are shown of it.
"""
