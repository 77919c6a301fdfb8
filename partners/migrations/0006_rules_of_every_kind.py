"""Rules by remark, subnet and side, and what an agreement covers."""

import importlib

import django.contrib.postgres.fields
import partners.memos
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


# Making the triggers anew forgets that they must find the history's own tables.
PINNED = importlib.import_module("partners.migrations.0002_guard_history").PINNED


class Migration(migrations.Migration):

    dependencies = [
        ('partners', '0005_sealed_history'),
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
            name='rule_kind_once_per_agreement',
        ),
        migrations.AddField(
            model_name='agreement',
            name='hotkeys',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=48), blank=True, db_default=[], default=list, help_text='Addresses of your hotkeys, separated by commas. Empty: all.', size=None),
        ),
        migrations.AddField(
            model_name='agreement',
            name='netuids',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.PositiveIntegerField(), blank=True, db_default=[], default=list, help_text='Numbers, separated by commas. Empty: all.', size=None, verbose_name='subnets'),
        ),
        migrations.AddField(
            model_name='agreement',
            name='new_delegators_only',
            field=models.BooleanField(db_default=False, default=False, help_text='Only wallets that had no stake with any of your hotkeys before: before their first stake under the remark, before the day they were introduced, or before this agreement began, by the rule that finds them.'),
        ),
        migrations.AddField(
            model_name='agreement',
            name='sides',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('ALPHA', 'Subnet alpha'), ('ROOT', 'Root TAO'), ('REWARDS', 'Inflation rewards'), ('EXEC_FEES', 'Block and priority fees'), ('MEV', 'MEV tips')], max_length=9), blank=True, db_default=[], default=list, help_text='What the stake earns, separated by commas: ALPHA, ROOT, REWARDS, EXEC_FEES, MEV. Empty: all.', size=None),
        ),
        migrations.AddField(
            model_name='agreementevent',
            name='hotkeys',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=48), blank=True, db_default=[], default=list, help_text='Addresses of your hotkeys, separated by commas. Empty: all.', size=None),
        ),
        migrations.AddField(
            model_name='agreementevent',
            name='netuids',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.PositiveIntegerField(), blank=True, db_default=[], default=list, help_text='Numbers, separated by commas. Empty: all.', size=None, verbose_name='subnets'),
        ),
        migrations.AddField(
            model_name='agreementevent',
            name='new_delegators_only',
            field=models.BooleanField(db_default=False, default=False, help_text='Only wallets that had no stake with any of your hotkeys before: before their first stake under the remark, before the day they were introduced, or before this agreement began, by the rule that finds them.'),
        ),
        migrations.AddField(
            model_name='agreementevent',
            name='sides',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('ALPHA', 'Subnet alpha'), ('ROOT', 'Root TAO'), ('REWARDS', 'Inflation rewards'), ('EXEC_FEES', 'Block and priority fees'), ('MEV', 'MEV tips')], max_length=9), blank=True, db_default=[], default=list, help_text='What the stake earns, separated by commas: ALPHA, ROOT, REWARDS, EXEC_FEES, MEV. Empty: all.', size=None),
        ),
        migrations.AddField(
            model_name='rule',
            name='memo',
            field=models.CharField(blank=True, db_default='', default='', help_text="Compared byte by byte, letters' case too.", max_length=200, verbose_name='text'),
        ),
        migrations.AddField(
            model_name='rule',
            name='memo_match',
            field=models.CharField(blank=True, choices=[('EQUALS', 'Equals'), ('STARTS', 'Starts with'), ('CONTAINS', 'Contains'), ('REGEX', 'Regular expression (RE2)')], db_default='', default='', max_length=8, verbose_name='remark'),
        ),
        migrations.AddField(
            model_name='rule',
            name='netuid',
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name='subnet'),
        ),
        migrations.AddField(
            model_name='rule',
            name='side',
            field=models.CharField(blank=True, choices=[('ALPHA', 'Subnet alpha'), ('ROOT', 'Root TAO'), ('REWARDS', 'Inflation rewards'), ('EXEC_FEES', 'Block and priority fees'), ('MEV', 'MEV tips')], db_default='', default='', max_length=9),
        ),
        migrations.AddField(
            model_name='ruleevent',
            name='memo',
            field=models.CharField(blank=True, db_default='', default='', help_text="Compared byte by byte, letters' case too.", max_length=200, verbose_name='text'),
        ),
        migrations.AddField(
            model_name='ruleevent',
            name='memo_match',
            field=models.CharField(blank=True, choices=[('EQUALS', 'Equals'), ('STARTS', 'Starts with'), ('CONTAINS', 'Contains'), ('REGEX', 'Regular expression (RE2)')], db_default='', default='', max_length=8, verbose_name='remark'),
        ),
        migrations.AddField(
            model_name='ruleevent',
            name='netuid',
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name='subnet'),
        ),
        migrations.AddField(
            model_name='ruleevent',
            name='side',
            field=models.CharField(blank=True, choices=[('ALPHA', 'Subnet alpha'), ('ROOT', 'Root TAO'), ('REWARDS', 'Inflation rewards'), ('EXEC_FEES', 'Block and priority fees'), ('MEV', 'MEV tips')], db_default='', default='', max_length=9),
        ),
        migrations.AlterField(
            model_name='partner',
            name='kind',
            field=models.CharField(choices=[('NAMED', 'Named: found by wallet address'), ('TAGGED', 'Wallet app: found by the remark on stake'), ('HYBRID', 'Both: some wallets named, others by remark')], default='NAMED', max_length=8),
        ),
        migrations.AlterField(
            model_name='partnerevent',
            name='kind',
            field=models.CharField(choices=[('NAMED', 'Named: found by wallet address'), ('TAGGED', 'Wallet app: found by the remark on stake'), ('HYBRID', 'Both: some wallets named, others by remark')], default='NAMED', max_length=8),
        ),
        migrations.AlterField(
            model_name='rule',
            name='kind',
            field=models.CharField(choices=[('WALLET', "Exact wallet: the partner's wallet list"), ('MEMO', 'Remark: the text that an app leaves beside stake'), ('SUBNET', 'Subnet: all stake on it'), ('SIDE', 'Side: all stake that earns so'), ('ALL', 'All stake')], default='WALLET', max_length=8),
        ),
        migrations.AlterField(
            model_name='ruleevent',
            name='kind',
            field=models.CharField(choices=[('WALLET', "Exact wallet: the partner's wallet list"), ('MEMO', 'Remark: the text that an app leaves beside stake'), ('SUBNET', 'Subnet: all stake on it'), ('SIDE', 'Side: all stake that earns so'), ('ALL', 'All stake')], default='WALLET', max_length=8),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agreement',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_agreementevent" ("basis", "effective", "hotkeys", "id", "minimum_payout_rao", "netuids", "new_delegators_only", "notes", "partner_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rate_bps", "sides") VALUES (NEW."basis", NEW."effective", NEW."hotkeys", NEW."id", NEW."minimum_payout_rao", NEW."netuids", NEW."new_delegators_only", NEW."notes", NEW."partner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'insert\', NEW."id", NEW."rate_bps", NEW."sides"); RETURN NULL;', hash='db7ebf212817621f5f2038a2fe24725c64723d7e', operation='INSERT', pgid='pgtrigger_insert_insert_b1737', table='partners_agreement', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agreement',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "partners_agreementevent" ("basis", "effective", "hotkeys", "id", "minimum_payout_rao", "netuids", "new_delegators_only", "notes", "partner_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rate_bps", "sides") VALUES (NEW."basis", NEW."effective", NEW."hotkeys", NEW."id", NEW."minimum_payout_rao", NEW."netuids", NEW."new_delegators_only", NEW."notes", NEW."partner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'update\', NEW."id", NEW."rate_bps", NEW."sides"); RETURN NULL;', hash='31b5579f32327c22a4ac8723a21fcf6f2e6be88e', operation='UPDATE', pgid='pgtrigger_update_update_8c840', table='partners_agreement', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agreement',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_agreementevent" ("basis", "effective", "hotkeys", "id", "minimum_payout_rao", "netuids", "new_delegators_only", "notes", "partner_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rate_bps", "sides") VALUES (OLD."basis", OLD."effective", OLD."hotkeys", OLD."id", OLD."minimum_payout_rao", OLD."netuids", OLD."new_delegators_only", OLD."notes", OLD."partner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'delete\', OLD."id", OLD."rate_bps", OLD."sides"); RETURN NULL;', hash='dcd01cc7d6da2ce5bca81bc658f9e0e22225bbe5', operation='DELETE', pgid='pgtrigger_delete_delete_63f2d', table='partners_agreement', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='rule',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_ruleevent" ("agreement_id", "applies_from_block", "id", "is_active", "kind", "memo", "memo_match", "netuid", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "priority", "side") VALUES (NEW."agreement_id", NEW."applies_from_block", NEW."id", NEW."is_active", NEW."kind", NEW."memo", NEW."memo_match", NEW."netuid", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'insert\', NEW."id", NEW."priority", NEW."side"); RETURN NULL;', hash='168d258caf8e71f0ec686c76f7bf6d9cb37cce92', operation='INSERT', pgid='pgtrigger_insert_insert_1743b', table='partners_rule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='rule',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "partners_ruleevent" ("agreement_id", "applies_from_block", "id", "is_active", "kind", "memo", "memo_match", "netuid", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "priority", "side") VALUES (NEW."agreement_id", NEW."applies_from_block", NEW."id", NEW."is_active", NEW."kind", NEW."memo", NEW."memo_match", NEW."netuid", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'update\', NEW."id", NEW."priority", NEW."side"); RETURN NULL;', hash='89e037d9b2a19d3c837b724a9a8d8c1ea7eabfdd', operation='UPDATE', pgid='pgtrigger_update_update_0930d', table='partners_rule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='rule',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_ruleevent" ("agreement_id", "applies_from_block", "id", "is_active", "kind", "memo", "memo_match", "netuid", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "priority", "side") VALUES (OLD."agreement_id", OLD."applies_from_block", OLD."id", OLD."is_active", OLD."kind", OLD."memo", OLD."memo_match", OLD."netuid", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'delete\', OLD."id", OLD."priority", OLD."side"); RETURN NULL;', hash='b713450823b379bf0b75190e3d4f31e68a4e2bfb', operation='DELETE', pgid='pgtrigger_delete_delete_e5816', table='partners_rule', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='rule',
            constraint=models.UniqueConstraint(condition=models.Q(('is_active', True)), fields=('agreement', 'kind', 'memo_match', 'memo', 'netuid', 'side'), name='rule_once_per_agreement', nulls_distinct=False, violation_error_message='This agreement already has such an active rule.'),
        ),
        migrations.AddConstraint(
            model_name='rule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind__in', ['WALLET', 'ALL']), ('memo', ''), ('memo_match', ''), ('netuid', None), ('side', '')), models.Q(('kind', 'MEMO'), ('memo_match__in', [partners.memos.MemoMatch['EQUALS'], partners.memos.MemoMatch['STARTS'], partners.memos.MemoMatch['CONTAINS'], partners.memos.MemoMatch['REGEX']]), ('netuid', None), ('side', ''), models.Q(('memo', ''), _negated=True)), models.Q(('kind', 'SUBNET'), ('memo', ''), ('memo_match', ''), ('netuid__isnull', False), ('side', '')), models.Q(('kind', 'SIDE'), ('memo', ''), ('memo_match', ''), ('netuid', None), ('side__in', ['ALPHA', 'ROOT', 'REWARDS', 'EXEC_FEES', 'MEV'])), _connector='OR'), name='rule_says_what_it_looks_at', violation_error_message='A rule gives what its kind looks at, and nothing else.'),
        ),
        migrations.RunSQL(PINNED, migrations.RunSQL.noop),
    ]
