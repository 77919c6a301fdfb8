"""Seals name the columns that they cover in one order, whatever the database sorts by, so that any other text is an edit."""

import importlib

from django.db import migrations

_SEALED = importlib.import_module("partners.migrations.0005_sealed_history").SEAL
BEFORE = _SEALED[: _SEALED.index("CREATE FUNCTION partners_seal_row")].replace(
    "CREATE", "CREATE OR REPLACE", 1
)
NOW = BEFORE.replace("ORDER BY name)", 'ORDER BY name COLLATE "C")')
assert NOW != BEFORE

# Which columns a seal covers is proved by its digest; only their order changes here.
IN_ORDER = """
ALTER TABLE partners_seal DISABLE TRIGGER history_append_only;
UPDATE partners_seal s SET columns = ordered.columns
FROM (
    SELECT columns AS found, (
        SELECT string_agg(name, ',' ORDER BY name COLLATE "C") FROM string_to_table(columns, ',') AS name
    ) AS columns FROM (SELECT DISTINCT columns FROM partners_seal) AS kinds
) AS ordered
WHERE s.columns = ordered.found AND ordered.columns <> ordered.found;
ALTER TABLE partners_seal ENABLE TRIGGER history_append_only;
"""


class Migration(migrations.Migration):
    dependencies = [("partners", "0012_basis_and_children")]

    operations = [
        migrations.RunSQL(NOW, BEFORE),
        migrations.RunSQL(IN_ORDER, migrations.RunSQL.noop),
    ]
