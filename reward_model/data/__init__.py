"""Data generation and validation: the guide's scripts and what they call."""
