"""The auditor reads what a viewer reads, who may do what, and which keys are out; an administrator accepts no gap."""

from django.db import migrations

from chain.rights import grant, revoke


def grant_rights(apps, schema_editor):
    grant(apps, "auth", {"auditor": ("view_user", "view_group")})
    grant(apps, "partners", {"auditor": ("view_apikey",)})
    # What the viewer got before there were auditors; later grants give both the same.
    group = apps.get_model("auth", "Group")
    viewer, auditor = (group.objects.get(name=name) for name in ("viewer", "auditor"))
    auditor.permissions.add(*viewer.permissions.all())
    # An administrator asks for the blocks of a gap to be read again; giving them up is a decision about that work.
    revoke(apps, "chain", {"administrator": ("accept_gap",)})


class Migration(migrations.Migration):
    dependencies = [
        ("payments", "0003_groups"),
        ("ledger", "0008_checks"),
        ("partners", "0010_request_ids_and_export"),
        ("chain", "0016_key_swaps_index"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(grant_rights, migrations.RunPython.noop)]
