"""Helpers that several parts share: files, logging, seeds, environment, checkpoints."""
