"""What each remark tags or why it tags nothing, and of each remark its hash and length.

Remarks and tags say who brought a delegator, so neither can be changed once written, and a tag must fit what it ties.
"""

import hashlib

import django.db.models.deletion
from django.db import migrations, models

from chain.rights import grant

ACCEPTED = ["BY_DELEGATE", "BY_ORDER", "SAME_SENDER"]
REFUSED = [
    "AMBIGUOUS",
    "BATCH_INTERRUPTED",
    "CALL_FAILED",
    "EMPTY_TEXT",
    "EXTRINSIC_FAILED",
    "ITEM_FAILED",
    "MOVED_WITHIN",
    "NOT_BY_DELEGATE",
    "NOT_THE_SENDERS",
    "NO_STAKE",
    "PROXY_FAILED",
    "SAME_TEXT_TWICE",
    "TEXT_TOO_LONG",
    "UNSTAKE_ONLY",
]
RIGHTS = dict.fromkeys(("viewer", "operator", "approver", "administrator"), ("view_tag",))

FORWARD = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON chain_remark
    FOR EACH ROW EXECUTE FUNCTION chain_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON chain_remark
    FOR EACH STATEMENT EXECUTE FUNCTION chain_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON chain_tag
    FOR EACH ROW EXECUTE FUNCTION chain_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON chain_tag
    FOR EACH STATEMENT EXECUTE FUNCTION chain_refuse_change();

CREATE FUNCTION chain_tag_fits() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    said public.chain_remark;
    stake public.chain_stakeevent;
BEGIN
    SELECT * INTO said FROM public.chain_remark WHERE id = NEW.remark_id;
    IF said.block_id IS DISTINCT FROM NEW.block_id THEN
        RAISE EXCEPTION 'a tag stands in the block of its remark, % is not %', NEW.block_id, said.block_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'tag_fits', TABLE = TG_TABLE_NAME;
    END IF;
    IF NEW.stake_event_id IS NULL THEN
        RETURN NEW;
    END IF;
    SELECT * INTO stake FROM public.chain_stakeevent WHERE id = NEW.stake_event_id;
    IF stake.block_id IS DISTINCT FROM said.block_id OR stake.extrinsic_index IS DISTINCT FROM said.extrinsic_index THEN
        RAISE EXCEPTION 'a remark tags stake of its own extrinsic only'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'tag_fits', TABLE = TG_TABLE_NAME;
    END IF;
    IF NOT stake.added THEN
        RAISE EXCEPTION 'a remark tags stake that came, not stake that left'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'tag_fits', TABLE = TG_TABLE_NAME;
    END IF;
    IF NEW.via_delegate IS DISTINCT FROM (stake.coldkey <> said.sender) THEN
        RAISE EXCEPTION 'a remark of % tags stake of %: only a delegate does so, and then the tag says it',
            said.sender, stake.coldkey
            USING ERRCODE = 'check_violation', CONSTRAINT = 'tag_fits', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER tag_fits BEFORE INSERT ON chain_tag FOR EACH ROW EXECUTE FUNCTION chain_tag_fits();
"""
BACKWARD = """
DROP TRIGGER tag_fits ON chain_tag;
DROP FUNCTION chain_tag_fits;
DROP TRIGGER append_only ON chain_tag;
DROP TRIGGER append_only_truncate ON chain_tag;
DROP TRIGGER append_only ON chain_remark;
DROP TRIGGER append_only_truncate ON chain_remark;
"""


def fill_hashes(apps, schema_editor):
    for remark in apps.get_model("chain", "Remark").objects.iterator():
        text = bytes(remark.remark)
        remark.text_hash = "0x" + hashlib.blake2b(text, digest_size=32).hexdigest()
        remark.byte_count = len(text)
        remark.save(update_fields=["text_hash", "byte_count"])


def grant_rights(apps, schema_editor):
    grant(apps, "chain", RIGHTS)


class Migration(migrations.Migration):
    dependencies = [("chain", "0005_stake_causes")]

    operations = [
        migrations.AlterField("remark", "remark", models.BinaryField(null=True)),
        migrations.AlterField("remark", "sender", models.CharField(db_index=True, max_length=48)),
        migrations.AddField(
            "remark", "byte_count", models.PositiveIntegerField(help_text="Length of the text.", null=True)
        ),
        migrations.AddField(
            "remark",
            "text_hash",
            models.CharField(default="", help_text="BLAKE2b-256 of the text, 0x hex.", max_length=66),
            preserve_default=False,
        ),
        migrations.RunPython(fill_hashes, migrations.RunPython.noop),
        migrations.AlterField(
            "remark",
            "text_hash",
            models.CharField(db_index=True, help_text="BLAKE2b-256 of the text, 0x hex.", max_length=66),
        ),
        migrations.AddConstraint(
            "remark",
            models.CheckConstraint(
                condition=models.Q(("remark__isnull", True), ("byte_count__isnull", False), _connector="OR"),
                name="remark_text_has_length",
            ),
        ),
        migrations.CreateModel(
            name="Tag",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("accepted", models.BooleanField()),
                ("reason", models.CharField(help_text="One of `chain.tagging.tags.Reason`.", max_length=20)),
                ("via_delegate", models.BooleanField(default=False)),
                (
                    "block",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="tags", to="chain.block"
                    ),
                ),
                (
                    "remark",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="tags", to="chain.remark"
                    ),
                ),
                (
                    "stake_event",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="tag",
                        to="chain.stakeevent",
                    ),
                ),
            ],
            options={
                "ordering": ["-block_id", "-id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("accepted", True), ("stake_event__isnull", False)),
                            models.Q(("accepted", False), ("stake_event__isnull", True)),
                            _connector="OR",
                        ),
                        name="tag_accepted_names_a_stake",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("accepted", True), ("reason__in", ACCEPTED)),
                            models.Q(("accepted", False), ("reason__in", REFUSED)),
                            _connector="OR",
                        ),
                        name="tag_reason_fits",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("accepted", False)), fields=("remark",), name="tag_refused_once"
                    ),
                ],
            },
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
    ]
