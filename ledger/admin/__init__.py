"""The ledger in the admin: everything can be seen and drilled into, nothing edited. Closing is the one step."""

from ledger.admin import books, periods

__all__ = ["books", "periods"]
