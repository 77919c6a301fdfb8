"""The chain's facts as pages: read-only but for the label of a hotkey."""

from chain.admin import blocks, earnings, reading, stake

__all__ = ["blocks", "earnings", "reading", "stake"]
