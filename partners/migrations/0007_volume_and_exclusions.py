"""Tiers by volume, a monthly cap, and what an agreement leaves out."""

import importlib

import django.contrib.postgres.fields
import django.core.validators
import partners.models
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

# Making the triggers anew forgets that they must find the history's own tables.
PINNED = importlib.import_module("partners.migrations.0002_guard_history").PINNED

# Ascending borders above zero with a rate each (`partners.rates.check_tiers`); an empty array has no dimensions.
TIERS = """
CREATE FUNCTION partners_tiers_valid(tiers bigint[]) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT cardinality(tiers) = 0 OR (
        array_ndims(tiers) = 2 AND array_length(tiers, 2) = 2 AND array_length(tiers, 1) <= 10
        AND (
            SELECT bool_and(coalesce(tiers[i][1] > coalesce(tiers[i - 1][1], 0) AND tiers[i][2] BETWEEN 0 AND 10000, false))
            FROM generate_series(1, array_length(tiers, 1)) AS i
        )
    )
$$;
ALTER TABLE partners_agreement ADD CONSTRAINT agreement_tiers_ascend CHECK (partners_tiers_valid(tiers));
"""
NO_TIERS = """
ALTER TABLE partners_agreement DROP CONSTRAINT agreement_tiers_ascend;
DROP FUNCTION partners_tiers_valid(bigint[]);
"""


class Migration(migrations.Migration):

    dependencies = [
        ('partners', '0006_rules_of_every_kind'),
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
            name='excluded_netuids',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.PositiveIntegerField(), blank=True, db_default=[], default=list, help_text='Numbers, separated by commas.', size=None, verbose_name='subnets left out'),
        ),
        migrations.AddField(
            model_name='agreement',
            name='excluded_wallets',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=48, validators=[partners.models.validate_address]), blank=True, db_default=[], default=list, help_text='Addresses that never count, whatever rule finds them.', size=None, verbose_name='wallets left out'),
        ),
        migrations.AddField(
            model_name='agreement',
            name='monthly_cap_rao',
            field=models.BigIntegerField(blank=True, help_text="The most that a month's (UTC) commission comes to, in rao. Empty: no limit.", null=True, validators=[django.core.validators.MinValueValidator(0)], verbose_name='at most a month'),
        ),
        migrations.AddField(
            model_name='agreement',
            name='tiers',
            field=django.contrib.postgres.fields.ArrayField(base_field=django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=2), blank=True, db_default=[], default=list, help_text='Rates of what comes above a volume of take in a month (UTC): from rao, basis points.', size=None),
        ),
        migrations.AddField(
            model_name='agreementevent',
            name='excluded_netuids',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.PositiveIntegerField(), blank=True, db_default=[], default=list, help_text='Numbers, separated by commas.', size=None, verbose_name='subnets left out'),
        ),
        migrations.AddField(
            model_name='agreementevent',
            name='excluded_wallets',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=48, validators=[partners.models.validate_address]), blank=True, db_default=[], default=list, help_text='Addresses that never count, whatever rule finds them.', size=None, verbose_name='wallets left out'),
        ),
        migrations.AddField(
            model_name='agreementevent',
            name='monthly_cap_rao',
            field=models.BigIntegerField(blank=True, help_text="The most that a month's (UTC) commission comes to, in rao. Empty: no limit.", null=True, validators=[django.core.validators.MinValueValidator(0)], verbose_name='at most a month'),
        ),
        migrations.AddField(
            model_name='agreementevent',
            name='tiers',
            field=django.contrib.postgres.fields.ArrayField(base_field=django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=2), blank=True, db_default=[], default=list, help_text='Rates of what comes above a volume of take in a month (UTC): from rao, basis points.', size=None),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agreement',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_agreementevent" ("basis", "effective", "excluded_netuids", "excluded_wallets", "hotkeys", "id", "minimum_payout_rao", "monthly_cap_rao", "netuids", "new_delegators_only", "notes", "partner_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rate_bps", "sides", "tiers") VALUES (NEW."basis", NEW."effective", NEW."excluded_netuids", NEW."excluded_wallets", NEW."hotkeys", NEW."id", NEW."minimum_payout_rao", NEW."monthly_cap_rao", NEW."netuids", NEW."new_delegators_only", NEW."notes", NEW."partner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'insert\', NEW."id", NEW."rate_bps", NEW."sides", NEW."tiers"); RETURN NULL;', hash='d16d37aba57e339e0b669270469d04150cacb581', operation='INSERT', pgid='pgtrigger_insert_insert_b1737', table='partners_agreement', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agreement',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "partners_agreementevent" ("basis", "effective", "excluded_netuids", "excluded_wallets", "hotkeys", "id", "minimum_payout_rao", "monthly_cap_rao", "netuids", "new_delegators_only", "notes", "partner_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rate_bps", "sides", "tiers") VALUES (NEW."basis", NEW."effective", NEW."excluded_netuids", NEW."excluded_wallets", NEW."hotkeys", NEW."id", NEW."minimum_payout_rao", NEW."monthly_cap_rao", NEW."netuids", NEW."new_delegators_only", NEW."notes", NEW."partner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'update\', NEW."id", NEW."rate_bps", NEW."sides", NEW."tiers"); RETURN NULL;', hash='0d0b89ede9fb84934f7d876888c55bd4593b3e24', operation='UPDATE', pgid='pgtrigger_update_update_8c840', table='partners_agreement', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agreement',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_agreementevent" ("basis", "effective", "excluded_netuids", "excluded_wallets", "hotkeys", "id", "minimum_payout_rao", "monthly_cap_rao", "netuids", "new_delegators_only", "notes", "partner_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rate_bps", "sides", "tiers") VALUES (OLD."basis", OLD."effective", OLD."excluded_netuids", OLD."excluded_wallets", OLD."hotkeys", OLD."id", OLD."minimum_payout_rao", OLD."monthly_cap_rao", OLD."netuids", OLD."new_delegators_only", OLD."notes", OLD."partner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'delete\', OLD."id", OLD."rate_bps", OLD."sides", OLD."tiers"); RETURN NULL;', hash='4a3669b8c37a4302c6c0811f1d51ad7e0bfd55f4', operation='DELETE', pgid='pgtrigger_delete_delete_63f2d', table='partners_agreement', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='agreement',
            constraint=models.CheckConstraint(condition=models.Q(('monthly_cap_rao__gte', 0)), name='agreement_cap_not_negative', violation_error_message='What a month comes to at most is not negative.'),
        ),
        migrations.RunSQL(TIERS, NO_TIERS),
        migrations.RunSQL(PINNED, migrations.RunSQL.noop),
    ]
