"""The ledger in the admin: everything can be seen and drilled into, nothing edited. Closing is the one step."""

from ledger.admin import books, imports, periods, what_if

__all__ = ["books", "imports", "periods", "what_if"]
