"""What the groups may see of the chain's facts, and who may name a hotkey. Nobody may write anything else."""

from django.db import migrations

from chain.rights import grant

MODELS = (
    "block",
    "conversion",
    "gap",
    "hotkey",
    "ingestrun",
    "network",
    "poolprice",
    "position",
    "remark",
    "runtime",
    "stakeevent",
    "yield",
)
VIEW = tuple(f"view_{model}" for model in MODELS)
RIGHTS = {
    "viewer": VIEW,
    "operator": (*VIEW, "change_hotkey"),
    "approver": VIEW,
    "administrator": (*VIEW, "change_hotkey"),
}


def grant_rights(apps, schema_editor):
    grant(apps, "chain", RIGHTS)


class Migration(migrations.Migration):
    dependencies = [
        ("chain", "0002_append_only"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(grant_rights, migrations.RunPython.noop)]
