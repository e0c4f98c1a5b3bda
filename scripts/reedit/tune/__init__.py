"""Tuning: from a model that nobody has edited to its layers and hyperparameters."""
