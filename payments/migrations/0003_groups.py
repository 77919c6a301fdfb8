"""What the groups may do with batches: operators propose, approvers approve, nobody has both."""

from django.db import migrations

from chain.rights import grant

VIEW = ("view_batch", "view_payout")
RIGHTS = {
    "viewer": VIEW,
    "operator": (*VIEW, "propose_batch"),
    "approver": (*VIEW, "approve_batch"),
    "administrator": VIEW,
}


def grant_rights(apps, schema_editor):
    grant(apps, "payments", RIGHTS)


class Migration(migrations.Migration):
    dependencies = [
        ("payments", "0002_triggers"),
        ("partners", "0003_groups"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(grant_rights, migrations.RunPython.noop)]
