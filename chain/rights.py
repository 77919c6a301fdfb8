"""Gives the groups their rights; used by the migrations of every app, so that the groups' rights stand beside its models.

Five groups: viewer, operator, approver, auditor, administrator. No group both makes and approves the same thing; where money
moves, the database refuses one person in both parts whatever their groups. `tests/roles.py` says who may do what.
"""

from __future__ import annotations

from typing import Any

GROUPS = ("viewer", "operator", "approver", "auditor", "administrator")


def grant(apps: Any, app_label: str, rights: dict[str, tuple[str, ...]]) -> None:
    """Add rights to groups, making what does not exist yet; nothing is taken away.

    An auditor reads whatever a viewer reads, so what the viewer is given the auditor is given too.

    :param apps: the registry that a migration is handed.
    :param rights: codenames such as ``view_block`` by group. The part after the first underscore names the model.
    """
    group_model = apps.get_model("auth", "Group")
    for name in GROUPS:
        codenames = rights.get(name, ()) + (rights.get("viewer", ()) if name == "auditor" else ())
        found = [_permission(apps, app_label, codename) for codename in codenames]
        group_model.objects.get_or_create(name=name)[0].permissions.add(*found)


def revoke(apps: Any, app_label: str, rights: dict[str, tuple[str, ...]]) -> None:
    """Take rights away from groups that :func:`grant` gave them; the same arguments."""
    group_model = apps.get_model("auth", "Group")
    for name, codenames in rights.items():
        found = [_permission(apps, app_label, codename) for codename in codenames]
        group_model.objects.get(name=name).permissions.remove(*found)


def _permission(apps: Any, app_label: str, codename: str) -> Any:
    # Django itself makes permissions only after all migrations have run.
    verb, model = codename.split("_", 1)
    options = apps.get_model(app_label, model)._meta
    named = dict(options.permissions).get(codename, f"Can {verb} {options.verbose_name_raw}")
    kind, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label=app_label, model=model
    )
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=kind, codename=codename, defaults={"name": named}
    )
    return permission
