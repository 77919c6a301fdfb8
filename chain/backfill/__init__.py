"""Ranges of blocks read by several workers and stored in order (CH9)."""
