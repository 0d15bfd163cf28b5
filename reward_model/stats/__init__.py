"""Metrics, intervals, calibration and baselines on plain arrays (numpy, scikit-learn; no torch)."""
