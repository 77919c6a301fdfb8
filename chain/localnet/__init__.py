"""A chain on one machine that runs a real Subtensor runtime, with plays that put stake and dividends on it."""
