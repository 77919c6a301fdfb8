"""What the groups may do with batches: operators propose, approvers approve, nobody has both."""

from django.db import migrations

VIEW = ("view_batch", "view_payout")
RIGHTS = {
    "viewer": VIEW,
    "operator": (*VIEW, "propose_batch"),
    "approver": (*VIEW, "approve_batch"),
    "administrator": VIEW,
}
NAMES = {
    "view_batch": "Can view batch",
    "view_payout": "Can view payout",
    "propose_batch": "Can propose a payout batch",
    "approve_batch": "Can approve a payout batch",
}


def grant(apps, schema_editor):
    # Permissions are otherwise made only after all migrations.
    content_type = apps.get_model("contenttypes", "ContentType")
    permission = apps.get_model("auth", "Permission")
    group = apps.get_model("auth", "Group")
    for name, codenames in RIGHTS.items():
        rights = []
        for codename in codenames:
            model = codename.split("_")[1]
            kind, _ = content_type.objects.get_or_create(app_label="payments", model=model)
            right, _ = permission.objects.get_or_create(
                content_type=kind, codename=codename, defaults={"name": NAMES[codename]}
            )
            rights.append(right)
        group.objects.get_or_create(name=name)[0].permissions.add(*rights)


class Migration(migrations.Migration):
    dependencies = [
        ("payments", "0002_triggers"),
        ("partners", "0003_groups"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
