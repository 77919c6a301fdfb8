"""Templates of agreements get a history like that of the rows above them: written, guarded, sealed and listed.

Those that are there begin it with what they hold now, so that the check can compare every one with its newest change.
"""

import importlib

import django.core.validators
import django.db.models.deletion
import partners.models
import pghistory.utils
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

_GUARDS = importlib.import_module("partners.migrations.0002_guard_history")
_PAYOUTS = importlib.import_module("partners.migrations.0011_payout_addresses")
_REQUESTS = importlib.import_module("partners.migrations.0010_request_ids_and_export")
PINNED = _PAYOUTS.PINNED.replace("'partners_payoutaddress')", "'partners_payoutaddress', 'partners_agreementtemplate')")
assert PINNED != _PAYOUTS.PINNED
VIEW = (
    _PAYOUTS.VIEW
    + " UNION ALL "
    + _REQUESTS.with_request_id(_GUARDS._select("agreementtemplate", "NULL::bigint", "e.name"))
)

# As for the other tracked tables (0002, 0005); what is there already comes before only triggers may write (0015).
HISTORY = """
CREATE TRIGGER history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON partners_agreementtemplateevent
    FOR EACH STATEMENT EXECUTE FUNCTION partners_refuse_history_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON partners_agreementtemplate
    FOR EACH STATEMENT EXECUTE FUNCTION partners_refuse_truncate();
CREATE TRIGGER history_sealed AFTER INSERT ON partners_agreementtemplateevent
    FOR EACH ROW EXECUTE FUNCTION partners_seal_row('AGREEMENTTEMPLATE');
INSERT INTO partners_agreementtemplateevent (pgh_created_at, pgh_label, pgh_obj_id, pgh_context, id, name, description,
    rate_bps, minimum_payout_rao, new_delegators_only, rule_kind)
SELECT clock_timestamp(), 'insert', id, '{"reason": "It was there before templates had a history"}', id, name, description,
    rate_bps, minimum_payout_rao, new_delegators_only, rule_kind
FROM partners_agreementtemplate ORDER BY id;
CREATE TRIGGER by_triggers_only BEFORE INSERT ON partners_agreementtemplateevent
    FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION partners_refuse_forgery();
"""
# Only where nothing else was sealed on top of it: a link taken out of the middle would break the chain.
UNDO_HISTORY = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM partners_seal WHERE kind <> 'AGREEMENTTEMPLATE'
        AND number > (SELECT min(number) FROM partners_seal WHERE kind = 'AGREEMENTTEMPLATE'))
    THEN
        RAISE EXCEPTION 'other changes were sealed after those of templates: go back to a backup instead';
    END IF;
END $$;
ALTER TABLE partners_seal DISABLE TRIGGER history_append_only;
DELETE FROM partners_seal WHERE kind = 'AGREEMENTTEMPLATE';
ALTER TABLE partners_seal ENABLE TRIGGER history_append_only;
DROP TRIGGER by_triggers_only ON partners_agreementtemplateevent;
DROP TRIGGER history_sealed ON partners_agreementtemplateevent;
DROP TRIGGER no_truncate ON partners_agreementtemplate;
DROP TRIGGER history_append_only ON partners_agreementtemplateevent;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('partners', '0017_lines_by_wallet'),
    ]

    operations = [
        migrations.CreateModel(
            name='AgreementTemplateEvent',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('pgh_context_id', models.UUIDField(null=True)),
                ('id', models.BigIntegerField()),
                ('name', models.CharField(max_length=80, validators=[partners.models.validate_name])),
                ('description', models.CharField(blank=True, max_length=200)),
                ('rate_bps', models.PositiveIntegerField(validators=[django.core.validators.MaxValueValidator(10000)], verbose_name='rate')),
                ('minimum_payout_rao', models.BigIntegerField(default=0, validators=[django.core.validators.MinValueValidator(0)], verbose_name='minimum payout')),
                ('new_delegators_only', models.BooleanField(default=False)),
                ('rule_kind', models.CharField(choices=[('WALLET', "Exact wallet: the partner's wallet list"), ('MEMO', 'Remark: the text that an app leaves beside stake'), ('SUBNET', 'Subnet: all stake on it'), ('SIDE', 'Side: all stake that earns so'), ('ALL', 'All stake')], default='WALLET', max_length=8, verbose_name='finds delegators by')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.AlterField(
            model_name='agreementtemplate',
            name='name',
            field=models.CharField(max_length=80, unique=True, validators=[partners.models.validate_name]),
        ),
        migrations.AlterField(
            model_name='seal',
            name='kind',
            field=models.CharField(max_length=20),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agreementtemplate',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_agreementtemplateevent" ("description", "id", "minimum_payout_rao", "name", "new_delegators_only", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rate_bps", "rule_kind") VALUES (NEW."description", NEW."id", NEW."minimum_payout_rao", NEW."name", NEW."new_delegators_only", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'insert\', NEW."id", NEW."rate_bps", NEW."rule_kind"); RETURN NULL;', hash='9f38fb64218582091cd9f208f182efb878ada904', operation='INSERT', pgid='pgtrigger_insert_insert_39657', table='partners_agreementtemplate', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agreementtemplate',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "partners_agreementtemplateevent" ("description", "id", "minimum_payout_rao", "name", "new_delegators_only", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rate_bps", "rule_kind") VALUES (NEW."description", NEW."id", NEW."minimum_payout_rao", NEW."name", NEW."new_delegators_only", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'update\', NEW."id", NEW."rate_bps", NEW."rule_kind"); RETURN NULL;', hash='1e20e5100513d6a77bf45648c963230c42c7c023', operation='UPDATE', pgid='pgtrigger_update_update_79c54', table='partners_agreementtemplate', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agreementtemplate',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_agreementtemplateevent" ("description", "id", "minimum_payout_rao", "name", "new_delegators_only", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rate_bps", "rule_kind") VALUES (OLD."description", OLD."id", OLD."minimum_payout_rao", OLD."name", OLD."new_delegators_only", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'delete\', OLD."id", OLD."rate_bps", OLD."rule_kind"); RETURN NULL;', hash='919beb70f699ec151aa77a205088c4c3fbe63fc3', operation='DELETE', pgid='pgtrigger_delete_delete_f44c6', table='partners_agreementtemplate', when='AFTER')),
        ),
        migrations.AddField(
            model_name='agreementtemplateevent',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='partners.agreementtemplate'),
        ),
        migrations.RunSQL(HISTORY, UNDO_HISTORY),
        migrations.RunSQL(PINNED, migrations.RunSQL.noop),
        migrations.RunSQL(VIEW, _PAYOUTS.VIEW),
    ]
