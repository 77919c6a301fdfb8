"""Keys that a swap left without an owner are followed until somebody takes them up."""

from __future__ import annotations

import importlib

from django.db import migrations, models

_RULES = importlib.import_module("chain.migrations.0014_facts_stay")


def _trigger(columns: str) -> str:
    rule, _, instead = _RULES.PARTLY["followedhotkey"]
    return f"""
DROP TRIGGER stays ON chain_followedhotkey;
CREATE TRIGGER stays BEFORE UPDATE ON chain_followedhotkey
    FOR EACH ROW WHEN ({_RULES._ends_once(columns)})
    EXECUTE FUNCTION chain_refuse_edit('{rule}', '{instead}');
"""


class Migration(migrations.Migration):
    dependencies = [("chain", "0014_facts_stay")]

    operations = [
        migrations.AddField(
            model_name="followedhotkey",
            name="abandoned_by",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Coldkey whose swap left the key without an owner: until it is taken up again, it earns nothing.",
                max_length=48,
            ),
        ),
        migrations.RunSQL(
            _trigger("id hotkey_id netuid abandoned_by"), _trigger("id hotkey_id netuid")
        ),
    ]
