"""Companies by code: consistent statements, and the story behind them, deterministic by seed.

``sheet.draw_statements`` draws three years of figures moved by the catalogue's storylines; ``story`` and
``outline`` tell what happened and lay out a report, so that no word contradicts a figure.
"""
