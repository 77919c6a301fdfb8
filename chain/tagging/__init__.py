"""Remarks and the stake they tag (PA7)."""
