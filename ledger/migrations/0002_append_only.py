"""Triggers of `ledger/sql/0002_append_only.sql`; that file belongs to this migration and is not edited afterwards."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0001_initial"),
        ("chain", "0001_initial"),
        ("partners", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(
            (SQL / "0002_append_only.sql").read_text(),
            (SQL / "0002_append_only_reverse.sql").read_text(),
        ),
    ]
