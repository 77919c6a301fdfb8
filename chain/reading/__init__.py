"""Blocks into facts: read ahead, read, held against one another."""
