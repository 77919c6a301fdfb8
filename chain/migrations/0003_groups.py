"""What the groups may see of the chain's facts, and who may name a hotkey. Nobody may write anything else."""

from django.db import migrations

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


def grant(apps, schema_editor):
    # Permissions are otherwise made only after all migrations.
    content_type = apps.get_model("contenttypes", "ContentType")
    permission = apps.get_model("auth", "Permission")
    group = apps.get_model("auth", "Group")
    for name, codenames in RIGHTS.items():
        rights = []
        for codename in codenames:
            verb, model = codename.split("_")
            kind, _ = content_type.objects.get_or_create(app_label="chain", model=model)
            label = apps.get_model("chain", model)._meta.verbose_name_raw
            right, _ = permission.objects.get_or_create(
                content_type=kind, codename=codename, defaults={"name": f"Can {verb} {label}"}
            )
            rights.append(right)
        group.objects.get_or_create(name=name)[0].permissions.add(*rights)


class Migration(migrations.Migration):
    dependencies = [
        ("chain", "0002_append_only"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
