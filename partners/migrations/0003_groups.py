"""The four groups and what each may do with partners. Rights of later apps are added by their migrations."""

from django.db import migrations

from chain.rights import grant

TRACKED = ("partner", "agreement", "rule", "wallet")
VIEW = tuple(f"view_{model}" for model in (*TRACKED, "change"))
WRITE = tuple(f"{verb}_{model}" for verb in ("add", "change") for model in TRACKED)
KEYS = ("view_apikey", "add_apikey", "change_apikey")
RIGHTS = {
    "viewer": VIEW,
    "operator": VIEW + WRITE,
    "approver": VIEW,
    "administrator": VIEW + WRITE + KEYS,
}


def grant_rights(apps, schema_editor):
    grant(apps, "partners", RIGHTS)


class Migration(migrations.Migration):
    dependencies = [
        ("partners", "0002_guard_history"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(grant_rights, migrations.RunPython.noop)]
