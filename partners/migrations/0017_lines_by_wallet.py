"""Whether lines name the wallets, and statements list them."""

import importlib

import partners.rates
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

# Making the triggers anew forgets that they must find the history's own tables.
PINNED = importlib.import_module("partners.migrations.0002_guard_history").PINNED


class Migration(migrations.Migration):

    dependencies = [
        ('partners', '0016_memo_counts_on'),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name='agreement',
            name='insert_insert',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='agreement',
            name='update_update',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='agreement',
            name='delete_delete',
        ),
        migrations.AddField(
            model_name='agreement',
            name='aggregation',
            field=models.CharField(choices=[(partners.rates.Aggregation['LUMP_SUM'], 'One sum per pool'), (partners.rates.Aggregation['PER_WALLET'], 'Every wallet')], db_default=partners.rates.Aggregation['LUMP_SUM'], default=partners.rates.Aggregation['LUMP_SUM'], help_text='What the partner reads. Wallets are listed only where lines name them.', max_length=10, verbose_name='statements list'),
        ),
        migrations.AddField(
            model_name='agreement',
            name='wallet_attribution_enabled',
            field=models.BooleanField(db_default=False, default=False, help_text='Each wallet has commission lines of its own, rounded down each. From the next day that closes.', verbose_name='lines name the wallets'),
        ),
        migrations.AddField(
            model_name='agreementevent',
            name='aggregation',
            field=models.CharField(choices=[(partners.rates.Aggregation['LUMP_SUM'], 'One sum per pool'), (partners.rates.Aggregation['PER_WALLET'], 'Every wallet')], db_default=partners.rates.Aggregation['LUMP_SUM'], default=partners.rates.Aggregation['LUMP_SUM'], help_text='What the partner reads. Wallets are listed only where lines name them.', max_length=10, verbose_name='statements list'),
        ),
        migrations.AddField(
            model_name='agreementevent',
            name='wallet_attribution_enabled',
            field=models.BooleanField(db_default=False, default=False, help_text='Each wallet has commission lines of its own, rounded down each. From the next day that closes.', verbose_name='lines name the wallets'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agreement',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_agreementevent" ("aggregation", "basis", "effective", "excluded_netuids", "excluded_wallets", "hotkeys", "id", "minimum_payout_rao", "monthly_cap_rao", "netuids", "new_delegators_only", "notes", "partner_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rate_bps", "sides", "tiers", "wallet_attribution_enabled") VALUES (NEW."aggregation", NEW."basis", NEW."effective", NEW."excluded_netuids", NEW."excluded_wallets", NEW."hotkeys", NEW."id", NEW."minimum_payout_rao", NEW."monthly_cap_rao", NEW."netuids", NEW."new_delegators_only", NEW."notes", NEW."partner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'insert\', NEW."id", NEW."rate_bps", NEW."sides", NEW."tiers", NEW."wallet_attribution_enabled"); RETURN NULL;', hash='d757ac392e1ff70be1d1b6605af11c8d5ea6d643', operation='INSERT', pgid='pgtrigger_insert_insert_b1737', table='partners_agreement', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agreement',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "partners_agreementevent" ("aggregation", "basis", "effective", "excluded_netuids", "excluded_wallets", "hotkeys", "id", "minimum_payout_rao", "monthly_cap_rao", "netuids", "new_delegators_only", "notes", "partner_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rate_bps", "sides", "tiers", "wallet_attribution_enabled") VALUES (NEW."aggregation", NEW."basis", NEW."effective", NEW."excluded_netuids", NEW."excluded_wallets", NEW."hotkeys", NEW."id", NEW."minimum_payout_rao", NEW."monthly_cap_rao", NEW."netuids", NEW."new_delegators_only", NEW."notes", NEW."partner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'update\', NEW."id", NEW."rate_bps", NEW."sides", NEW."tiers", NEW."wallet_attribution_enabled"); RETURN NULL;', hash='d445d61258ad8447ee89393e5488388e3f00185c', operation='UPDATE', pgid='pgtrigger_update_update_8c840', table='partners_agreement', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agreement',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_agreementevent" ("aggregation", "basis", "effective", "excluded_netuids", "excluded_wallets", "hotkeys", "id", "minimum_payout_rao", "monthly_cap_rao", "netuids", "new_delegators_only", "notes", "partner_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rate_bps", "sides", "tiers", "wallet_attribution_enabled") VALUES (OLD."aggregation", OLD."basis", OLD."effective", OLD."excluded_netuids", OLD."excluded_wallets", OLD."hotkeys", OLD."id", OLD."minimum_payout_rao", OLD."monthly_cap_rao", OLD."netuids", OLD."new_delegators_only", OLD."notes", OLD."partner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'delete\', OLD."id", OLD."rate_bps", OLD."sides", OLD."tiers", OLD."wallet_attribution_enabled"); RETURN NULL;', hash='72db3648dc6120b715373d7b951dbbf27fef7e47', operation='DELETE', pgid='pgtrigger_delete_delete_63f2d', table='partners_agreement', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='agreement',
            constraint=models.CheckConstraint(condition=models.Q(('aggregation', partners.rates.Aggregation['LUMP_SUM']), models.Q(('aggregation', partners.rates.Aggregation['PER_WALLET']), ('wallet_attribution_enabled', True)), _connector='OR'), name='agreement_lists_wallets_that_lines_name', violation_error_message='A statement lists wallets only where lines name them.'),
        ),
        migrations.RunSQL(PINNED, migrations.RunSQL.noop),
    ]
