"""Everything that writes the ledger. Each function is one decision in one transaction."""

from ledger.services.attributing import CannotAttribute, attribute_yields
from ledger.services.checking import check_blocks, run_check
from ledger.services.closing import CannotClose, close_day, close_due_days
from ledger.services.importing import import_chain_file, preview_chain_file
from ledger.services.paying import InsufficientPayable, UnknownReservation, release_payout, reserve_payout
from ledger.services.pricing import attach_period_prices
from ledger.services.trying import run_what_if

__all__ = [
    "CannotAttribute",
    "CannotClose",
    "InsufficientPayable",
    "UnknownReservation",
    "attach_period_prices",
    "attribute_yields",
    "check_blocks",
    "close_day",
    "close_due_days",
    "import_chain_file",
    "preview_chain_file",
    "release_payout",
    "reserve_payout",
    "run_check",
    "run_what_if",
]
