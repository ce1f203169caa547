"""Judges: rows of answers in, verdicts out, and how far their labels can be trusted."""
