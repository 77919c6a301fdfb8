"""Running the checks is a right of its own."""

from django.db import migrations

from chain.rights import grant

CHECK = ("check_period",)
RIGHTS = dict.fromkeys(("operator", "approver", "auditor", "administrator"), CHECK)


def grant_rights(apps, schema_editor):
    grant(apps, "ledger", RIGHTS)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0007_winners")]

    operations = [
        migrations.AlterModelOptions(
            name="period",
            options={
                "ordering": ["-start_at"],
                "permissions": [
                    ("close_period", "Can close a period"),
                    ("check_period", "Can run the checks"),
                ],
            },
        ),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
    ]
