"""Partners in the admin: lists, forms that ask why, readable history, wallet lists, API keys.

Nothing can be deleted here. What is saved goes through forms that validate as the services do, inside
`recorded`, so that the history knows who did it and why; bulk actions call the services.
"""

from partners.admin import agreements, changes, keys, partners, payout_addresses, wallets

__all__ = ["agreements", "changes", "keys", "partners", "payout_addresses", "wallets"]
