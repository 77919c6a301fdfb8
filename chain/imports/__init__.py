"""Facts of chains that are not read from a node: files of stake events and of rewards per staker and component (CH8).

`files` reads bytes into raw rows, `rows` checks them, `preview` compares them with what is stored, `services` writes.
A file is imported whole or not at all, and stored facts are never changed by one. Columns: docs/imports.md.
"""
