"""Frozen text-to-image teachers that predict noise."""
