"""A rule ends at a block."""

import importlib

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

# Making the triggers anew forgets that they must find the history's own tables.
PINNED = importlib.import_module("partners.migrations.0018_template_history").PINNED


class Migration(migrations.Migration):

    dependencies = [
        ('partners', '0018_template_history'),
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
            name='applies_until_block',
            field=models.BigIntegerField(blank=True, help_text='First block it counts at no more. Empty: it goes on. Ends a rule at a block, where switching it off takes it out of all days that are not closed yet.', null=True),
        ),
        migrations.AddField(
            model_name='ruleevent',
            name='applies_until_block',
            field=models.BigIntegerField(blank=True, help_text='First block it counts at no more. Empty: it goes on. Ends a rule at a block, where switching it off takes it out of all days that are not closed yet.', null=True),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='rule',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_ruleevent" ("agreement_id", "applies_from_block", "applies_until_block", "id", "is_active", "kind", "memo", "memo_match", "netuid", "on_restake", "on_stake", "on_unstake", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "priority", "side") VALUES (NEW."agreement_id", NEW."applies_from_block", NEW."applies_until_block", NEW."id", NEW."is_active", NEW."kind", NEW."memo", NEW."memo_match", NEW."netuid", NEW."on_restake", NEW."on_stake", NEW."on_unstake", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'insert\', NEW."id", NEW."priority", NEW."side"); RETURN NULL;', hash='3041b8a9e8b13df93354c0f532dcf07da464ef00', operation='INSERT', pgid='pgtrigger_insert_insert_1743b', table='partners_rule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='rule',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "partners_ruleevent" ("agreement_id", "applies_from_block", "applies_until_block", "id", "is_active", "kind", "memo", "memo_match", "netuid", "on_restake", "on_stake", "on_unstake", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "priority", "side") VALUES (NEW."agreement_id", NEW."applies_from_block", NEW."applies_until_block", NEW."id", NEW."is_active", NEW."kind", NEW."memo", NEW."memo_match", NEW."netuid", NEW."on_restake", NEW."on_stake", NEW."on_unstake", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'update\', NEW."id", NEW."priority", NEW."side"); RETURN NULL;', hash='ef542b96896b697a3d4c1b7b85b7d392378e07cf', operation='UPDATE', pgid='pgtrigger_update_update_0930d', table='partners_rule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='rule',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_ruleevent" ("agreement_id", "applies_from_block", "applies_until_block", "id", "is_active", "kind", "memo", "memo_match", "netuid", "on_restake", "on_stake", "on_unstake", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "priority", "side") VALUES (OLD."agreement_id", OLD."applies_from_block", OLD."applies_until_block", OLD."id", OLD."is_active", OLD."kind", OLD."memo", OLD."memo_match", OLD."netuid", OLD."on_restake", OLD."on_stake", OLD."on_unstake", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'delete\', OLD."id", OLD."priority", OLD."side"); RETURN NULL;', hash='c710cddd55923b53733241e26ee639d1bc2f2c9e', operation='DELETE', pgid='pgtrigger_delete_delete_e5816', table='partners_rule', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='rule',
            constraint=models.UniqueConstraint(condition=models.Q(('is_active', True)), fields=('agreement', 'kind', 'memo_match', 'memo', 'netuid', 'side', 'on_stake', 'on_restake', 'applies_until_block'), name='rule_once_per_agreement', nulls_distinct=False, violation_error_message='This agreement already has such an active rule.'),
        ),
        migrations.AddConstraint(
            model_name='rule',
            constraint=models.CheckConstraint(condition=models.Q(('applies_until_block__isnull', True), ('applies_until_block__gt', models.F('applies_from_block')), _connector='OR'), name='rule_ends_after_it_begins', violation_error_message='A rule ends after the block that it begins at.'),
        ),
        migrations.RunSQL(PINNED, migrations.RunSQL.noop),
    ]
