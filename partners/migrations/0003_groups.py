"""The four groups and what each may do with partners. Rights of later apps are added by their migrations."""

from django.db import migrations

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


def create_groups(apps, schema_editor):
    # Permissions are otherwise made only after all migrations.
    content_type = apps.get_model("contenttypes", "ContentType")
    permission = apps.get_model("auth", "Permission")
    group = apps.get_model("auth", "Group")
    for name, codenames in RIGHTS.items():
        rights = []
        for codename in codenames:
            verb, model = codename.split("_")
            kind, _ = content_type.objects.get_or_create(app_label="partners", model=model)
            label = apps.get_model("partners", model)._meta.verbose_name_raw
            right, _ = permission.objects.get_or_create(
                content_type=kind, codename=codename, defaults={"name": f"Can {verb} {label}"}
            )
            rights.append(right)
        group.objects.get_or_create(name=name)[0].permissions.add(*rights)


class Migration(migrations.Migration):
    dependencies = [
        ("partners", "0002_guard_history"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(create_groups, migrations.RunPython.noop)]
