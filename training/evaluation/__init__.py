"""Measurements of trained models: a checkpoint and held-out rows in, numbers with intervals out."""
