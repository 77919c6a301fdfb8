"""The list of all changes shows the request that made each; exporting wallet lists is a right of its own."""

import importlib

from django.db import migrations

from chain.rights import grant

_history = importlib.import_module("partners.migrations.0002_guard_history")


def with_request_id(selected):
    """Add the request's name to a part of the view."""
    return selected.replace(
        "AS values", "AS values, coalesce(e.pgh_context ->> 'request_id', '') AS request_id"
    )


VIEW = with_request_id(_history.VIEW)
EXPORT = ("export_wallet",)
RIGHTS = {"operator": EXPORT, "auditor": EXPORT, "administrator": EXPORT}


def grant_rights(apps, schema_editor):
    grant(apps, "partners", RIGHTS)


class Migration(migrations.Migration):
    dependencies = [
        ("partners", "0009_wallets_in_order"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.RunSQL(
            f"DROP VIEW partners_change; {VIEW}", f"DROP VIEW partners_change; {_history.VIEW}"
        ),
        migrations.AlterModelOptions(
            name="wallet",
            options={
                "ordering": ["partner", "address"],
                "permissions": [("export_wallet", "Can export wallet lists")],
            },
        ),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
        migrations.RunSQL(_history.PINNED, migrations.RunSQL.noop),
    ]
