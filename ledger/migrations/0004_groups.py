"""What the groups may see of the ledger, and who may close periods. Nobody may write anything else."""

from django.db import migrations

from chain.rights import grant

MODELS = (
    "account",
    "attribution",
    "commissionline",
    "conversionallocation",
    "delegatortake",
    "entry",
    "partnertake",
    "period",
    "posting",
)
VIEW = tuple(f"view_{model}" for model in MODELS)
RIGHTS = {
    "viewer": VIEW,
    "operator": (*VIEW, "close_period"),
    "approver": VIEW,
    "administrator": (*VIEW, "close_period"),
}


def grant_rights(apps, schema_editor):
    grant(apps, "ledger", RIGHTS)


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0003_conservation"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(grant_rights, migrations.RunPython.noop)]
