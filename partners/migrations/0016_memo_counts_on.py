"""What a remark counts on: stake, unstake, restake."""

import importlib

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

# Making the triggers anew forgets that they must find the history's own tables.
PINNED = importlib.import_module("partners.migrations.0002_guard_history").PINNED


class Migration(migrations.Migration):

    dependencies = [
        ('partners', '0015_history_by_triggers'),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name='rule',
            name='insert_insert',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='rule',
            name='update_update',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='rule',
            name='delete_delete',
        ),
        migrations.RemoveConstraint(
            model_name='rule',
            name='rule_once_per_agreement',
        ),
        migrations.AddField(
            model_name='rule',
            name='on_restake',
            field=models.BooleanField(db_default=False, default=False, help_text='What is moved between our hotkeys or subnets beside the remark counts from then on, whoever brought it.', verbose_name='on restake'),
        ),
        migrations.AddField(
            model_name='rule',
            name='on_stake',
            field=models.BooleanField(db_default=True, default=True, help_text='What came to us under the remark counts.', verbose_name='on stake'),
        ),
        migrations.AddField(
            model_name='rule',
            name='on_unstake',
            field=models.BooleanField(db_default=True, default=True, help_text='What leaves beside the remark is taken from what came under it first.', verbose_name='on unstake'),
        ),
        migrations.AddField(
            model_name='ruleevent',
            name='on_restake',
            field=models.BooleanField(db_default=False, default=False, help_text='What is moved between our hotkeys or subnets beside the remark counts from then on, whoever brought it.', verbose_name='on restake'),
        ),
        migrations.AddField(
            model_name='ruleevent',
            name='on_stake',
            field=models.BooleanField(db_default=True, default=True, help_text='What came to us under the remark counts.', verbose_name='on stake'),
        ),
        migrations.AddField(
            model_name='ruleevent',
            name='on_unstake',
            field=models.BooleanField(db_default=True, default=True, help_text='What leaves beside the remark is taken from what came under it first.', verbose_name='on unstake'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='rule',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_ruleevent" ("agreement_id", "applies_from_block", "id", "is_active", "kind", "memo", "memo_match", "netuid", "on_restake", "on_stake", "on_unstake", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "priority", "side") VALUES (NEW."agreement_id", NEW."applies_from_block", NEW."id", NEW."is_active", NEW."kind", NEW."memo", NEW."memo_match", NEW."netuid", NEW."on_restake", NEW."on_stake", NEW."on_unstake", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'insert\', NEW."id", NEW."priority", NEW."side"); RETURN NULL;', hash='83f9e556d07f01468803c2330d6dfb37c779cefe', operation='INSERT', pgid='pgtrigger_insert_insert_1743b', table='partners_rule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='rule',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "partners_ruleevent" ("agreement_id", "applies_from_block", "id", "is_active", "kind", "memo", "memo_match", "netuid", "on_restake", "on_stake", "on_unstake", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "priority", "side") VALUES (NEW."agreement_id", NEW."applies_from_block", NEW."id", NEW."is_active", NEW."kind", NEW."memo", NEW."memo_match", NEW."netuid", NEW."on_restake", NEW."on_stake", NEW."on_unstake", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'update\', NEW."id", NEW."priority", NEW."side"); RETURN NULL;', hash='57a9e5e50dacd5d36096718e4337ae5585f48810', operation='UPDATE', pgid='pgtrigger_update_update_0930d', table='partners_rule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='rule',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_ruleevent" ("agreement_id", "applies_from_block", "id", "is_active", "kind", "memo", "memo_match", "netuid", "on_restake", "on_stake", "on_unstake", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "priority", "side") VALUES (OLD."agreement_id", OLD."applies_from_block", OLD."id", OLD."is_active", OLD."kind", OLD."memo", OLD."memo_match", OLD."netuid", OLD."on_restake", OLD."on_stake", OLD."on_unstake", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'delete\', OLD."id", OLD."priority", OLD."side"); RETURN NULL;', hash='a2b95d78fc59c2bdc6bd6e3a930544a247f33f16', operation='DELETE', pgid='pgtrigger_delete_delete_e5816', table='partners_rule', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='rule',
            constraint=models.UniqueConstraint(condition=models.Q(('is_active', True)), fields=('agreement', 'kind', 'memo_match', 'memo', 'netuid', 'side', 'on_stake', 'on_restake'), name='rule_once_per_agreement', nulls_distinct=False, violation_error_message='This agreement already has such an active rule.'),
        ),
        migrations.AddConstraint(
            model_name='rule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'MEMO'), models.Q(('on_stake', True), ('on_restake', True), _connector='OR')), models.Q(models.Q(('kind', 'MEMO'), _negated=True), ('on_restake', False), ('on_stake', True), ('on_unstake', True)), _connector='OR'), name='rule_says_what_its_memo_counts_on', violation_error_message='A remark counts on stake or on restake, or on both.'),
        ),
        migrations.RunSQL(PINNED, migrations.RunSQL.noop),
    ]
