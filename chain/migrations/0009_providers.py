"""Who gave a block, the raw events it was read from, and how each node does. Kept bytes cannot be changed or deleted."""

import django.db.models.deletion
from django.db import migrations, models

from chain.rights import GROUPS, grant

FORWARD = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON chain_payload
    FOR EACH ROW EXECUTE FUNCTION chain_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON chain_payload
    FOR EACH STATEMENT EXECUTE FUNCTION chain_refuse_change();
"""
BACKWARD = """
DROP TRIGGER append_only ON chain_payload;
DROP TRIGGER append_only_truncate ON chain_payload;
"""


def grant_rights(apps, schema_editor):
    grant(apps, "chain", dict.fromkeys(GROUPS, ("view_endpoint",)))


class Migration(migrations.Migration):
    dependencies = [("chain", "0008_prices")]

    operations = [
        migrations.CreateModel(
            name="Endpoint",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=300, unique=True)),
                (
                    "position",
                    models.PositiveIntegerField(
                        null=True,
                        help_text="Place in RAKEBACK_NODE_URL; empty where it is not named there (any more).",
                    ),
                ),
                (
                    "condition",
                    models.CharField(
                        choices=[
                            ("UNTRIED", "Not asked yet"),
                            ("HEALTHY", "Answers"),
                            ("FAILING", "Fails"),
                            ("STALE", "Stale head"),
                            ("DOUBTED", "Doubted"),
                            ("WRONG_CHAIN", "Other chain"),
                        ],
                        default="UNTRIED",
                        max_length=11,
                    ),
                ),
                ("failures", models.PositiveIntegerField(default=0, help_text="In a row.")),
                ("last_ok_at", models.DateTimeField(null=True)),
                ("last_error_at", models.DateTimeField(null=True)),
                ("last_error", models.TextField(blank=True)),
                ("latency_ms", models.PositiveIntegerField(null=True, help_text="Per round trip, smoothed.")),
                ("head_block", models.BigIntegerField(null=True, help_text="Newest finalized block it named.")),
                ("head_since", models.DateTimeField(null=True, help_text="When it first named that block.")),
            ],
            options={
                "verbose_name": "node",
                "ordering": [models.OrderBy(models.F("position"), nulls_last=True), "name"],
            },
        ),
        migrations.CreateModel(
            name="Payload",
            fields=[
                (
                    "sha256",
                    models.CharField(
                        help_text="Of the bytes before compression.", max_length=64, primary_key=True, serialize=False
                    ),
                ),
                ("body", models.BinaryField(help_text="zlib.")),
                ("size", models.PositiveIntegerField(help_text="Bytes before compression.")),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("sha256__regex", "^[0-9a-f]{64}$")), name="payload_named_by_digest"
                    ),
                    models.CheckConstraint(condition=models.Q(("size__gt", 0)), name="payload_not_empty"),
                ],
            },
        ),
        migrations.AddField(
            model_name="block",
            name="provider",
            field=models.TextField(
                blank=True,
                default="",
                help_text="Node or segment that it was read from; no fact depends on it.",
            ),
        ),
        migrations.AddField(
            model_name="block",
            name="payload",
            field=models.ForeignKey(
                help_text="The block's raw events, where anything of ours was touched.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="blocks",
                to="chain.payload",
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
    ]
