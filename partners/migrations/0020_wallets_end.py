"""A wallet ends at a day."""

import importlib

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

# Making the triggers anew forgets that they must find the history's own tables.
PINNED = importlib.import_module("partners.migrations.0018_template_history").PINNED


class Migration(migrations.Migration):

    dependencies = [
        ('partners', '0019_rules_end'),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name='wallet',
            name='insert_insert',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='wallet',
            name='update_update',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='wallet',
            name='delete_delete',
        ),
        migrations.AddField(
            model_name='wallet',
            name='ended_date',
            field=models.DateField(blank=True, help_text='From 00:00 UTC of this day it counts no more. Empty: it goes on. Ends a wallet at a day, where switching it off takes it out of all days that are not closed yet.', null=True),
        ),
        migrations.AddField(
            model_name='walletevent',
            name='ended_date',
            field=models.DateField(blank=True, help_text='From 00:00 UTC of this day it counts no more. Empty: it goes on. Ends a wallet at a day, where switching it off takes it out of all days that are not closed yet.', null=True),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='wallet',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_walletevent" ("address", "chain", "ended_date", "id", "introduced_date", "is_active", "notes", "partner_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") VALUES (NEW."address", NEW."chain", NEW."ended_date", NEW."id", NEW."introduced_date", NEW."is_active", NEW."notes", NEW."partner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'insert\', NEW."id"); RETURN NULL;', hash='c0232fcab2aa5932a8d1bb32d6efac0161705d45', operation='INSERT', pgid='pgtrigger_insert_insert_da71a', table='partners_wallet', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='wallet',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "partners_walletevent" ("address", "chain", "ended_date", "id", "introduced_date", "is_active", "notes", "partner_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") VALUES (NEW."address", NEW."chain", NEW."ended_date", NEW."id", NEW."introduced_date", NEW."is_active", NEW."notes", NEW."partner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'update\', NEW."id"); RETURN NULL;', hash='16f546a410ee30cb5ba5cc41622e6740f5069ae0', operation='UPDATE', pgid='pgtrigger_update_update_295be', table='partners_wallet', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='wallet',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_walletevent" ("address", "chain", "ended_date", "id", "introduced_date", "is_active", "notes", "partner_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") VALUES (OLD."address", OLD."chain", OLD."ended_date", OLD."id", OLD."introduced_date", OLD."is_active", OLD."notes", OLD."partner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'delete\', OLD."id"); RETURN NULL;', hash='edb23475cbee213cfb178eb59cae7d3910049972', operation='DELETE', pgid='pgtrigger_delete_delete_1e2ee', table='partners_wallet', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='wallet',
            constraint=models.CheckConstraint(condition=models.Q(('ended_date__isnull', True), ('ended_date__gt', models.F('introduced_date')), _connector='OR'), name='wallet_ends_after_it_begins', violation_error_message='A wallet ends on a later day than it is introduced.'),
        ),
        migrations.RunSQL(PINNED, migrations.RunSQL.noop),
    ]
