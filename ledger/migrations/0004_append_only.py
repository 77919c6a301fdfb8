"""Triggers of `ledger/sql/0004_append_only.sql`; that file belongs to this migration and is not edited afterwards."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0003_rates_and_reversals"),
        ("chain", "0001_initial"),
        ("partners", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(
            (SQL / "0004_append_only.sql").read_text(),
            (SQL / "0004_append_only_reverse.sql").read_text(),
        ),
    ]
