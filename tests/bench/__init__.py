"""Measurements of the hot paths, each beside a baseline taken in the same run. `make bench ARGS=ledger` picks a group."""
