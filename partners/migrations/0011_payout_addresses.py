"""Payout addresses become versions that two people make and that cool off (PA10).

The address that each partner has now becomes a version in force. Its column leaves the partner and stays in the history,
because seals cover it. The guard is plain SQL: there is no switch in the application that turns it off.
"""

import datetime
import importlib

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
import partners.models
import pghistory.utils
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models

from chain.rights import grant

_GUARDS = importlib.import_module("partners.migrations.0002_guard_history")
PINNED = _GUARDS.PINNED.replace("'partners_wallet')", "'partners_wallet', 'partners_payoutaddress')")
assert PINNED != _GUARDS.PINNED
_REQUESTS = importlib.import_module("partners.migrations.0010_request_ids_and_export")
VIEW_BEFORE = _REQUESTS.VIEW
VIEW = (
    "DROP VIEW partners_change; "
    + VIEW_BEFORE
    + " UNION ALL "
    + _REQUESTS.with_request_id(
        _GUARDS._select(
            "payoutaddress",
            "e.partner_id",
            "coalesce(p.name, '') || ', ' || e.address",
            "LEFT JOIN partners_partner p ON p.id = e.partner_id",
        )
    )
)

# As for the other tracked tables (0002, 0005).
HISTORY = """
CREATE TRIGGER history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON partners_payoutaddressevent
    FOR EACH STATEMENT EXECUTE FUNCTION partners_refuse_history_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON partners_payoutaddress
    FOR EACH STATEMENT EXECUTE FUNCTION partners_refuse_truncate();
CREATE TRIGGER history_sealed AFTER INSERT ON partners_payoutaddressevent
    FOR EACH ROW EXECUTE FUNCTION partners_seal_row('PAYOUTADDRESS');
"""
UNDO_HISTORY = """
DROP TRIGGER history_sealed ON partners_payoutaddressevent;
DROP TRIGGER no_truncate ON partners_payoutaddress;
DROP TRIGGER history_append_only ON partners_payoutaddressevent;
"""

# Before the guard is there, which lets no such row in. Checks that wait for commit would hold up the changes after it.
MOVE = """
INSERT INTO partners_payoutaddress (partner_id, address, origin, status, requested_at, reason, cooling_off_hours, notice_to,
    notice_error, told_how, effective_from, cancel_reason)
SELECT id, payout_address, 'BEFORE', 'APPROVED', now(), 'The address that was set before versions were kept', 0, '{}',
    '', '', now(), ''
FROM partners_partner WHERE payout_address <> '' ORDER BY id;
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
"""
MOVE_BACK = """
UPDATE partners_partner partner SET payout_address = version.address
FROM (SELECT DISTINCT ON (partner_id) partner_id, address FROM partners_payoutaddress
    WHERE status = 'APPROVED' AND effective_from <= now() ORDER BY partner_id, effective_from DESC, id DESC) version
WHERE version.partner_id = partner.id;
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
"""

# Read with the time at which the statement began, written with the time at which it is written: never in force early.
IN_FORCE = """
CREATE FUNCTION partners_address_in_force(partner bigint) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT version.address FROM partners_payoutaddress version
    WHERE version.partner_id = partner AND version.status = 'APPROVED'
        AND version.effective_from <= statement_timestamp()
    ORDER BY version.effective_from DESC, version.id DESC LIMIT 1
$$;
CREATE FUNCTION partners_address_is_changing(partner bigint) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM partners_payoutaddress version WHERE version.partner_id = partner
        AND (version.status = 'REQUESTED'
            OR version.status = 'APPROVED' AND version.effective_from > statement_timestamp()))
$$;
"""

GUARD = """
CREATE FUNCTION partners_payout_address_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    step text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'payout addresses are never removed: cancel the request' USING ERRCODE = 'check_violation';
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- With an older snapshot the rules below could miss what others just wrote.
        RAISE EXCEPTION 'payout addresses are written in READ COMMITTED transactions only'
            USING ERRCODE = 'check_violation';
    END IF;
    -- Whoever proposes or approves a batch for the partner holds the same row.
    PERFORM 1 FROM partners_partner WHERE id = NEW.partner_id FOR NO KEY UPDATE;

    IF TG_OP = 'INSERT' THEN
        IF NEW.notified_at IS NOT NULL OR NEW.told_at IS NOT NULL OR NEW.told_by_id IS NOT NULL OR NEW.told_how <> ''
            OR NEW.notice_error <> '' OR NEW.approved_by_id IS NOT NULL OR NEW.approved_at IS NOT NULL
            OR NEW.effective_from IS NOT NULL OR NEW.cancelled_by_id IS NOT NULL OR NEW.cancelled_at IS NOT NULL
            OR NEW.cancel_reason <> ''
        THEN
            RAISE EXCEPTION 'a payout address starts undecided and without times' USING ERRCODE = 'check_violation';
        END IF;
        IF btrim(NEW.reason) = '' THEN
            RAISE EXCEPTION 'a payout address needs a reason' USING ERRCODE = 'check_violation';
        END IF;
        NEW.requested_at := moment;
        IF NEW.origin = 'START' THEN
            -- By the history, which nobody can write: the partner is as new as that, and had no address ever.
            IF EXISTS (SELECT FROM partners_payoutaddress WHERE partner_id = NEW.partner_id)
                OR NOT EXISTS (SELECT FROM partners_partnerevent WHERE pgh_obj_id = NEW.partner_id)
                OR EXISTS (SELECT FROM partners_partnerevent WHERE pgh_obj_id = NEW.partner_id
                    AND pgh_created_at < moment - interval '10 minutes')
            THEN
                RAISE EXCEPTION 'only a partner who was just added and never had an address begins with one: request it'
                    USING ERRCODE = 'check_violation';
            END IF;
            NEW.effective_from := moment;
        ELSIF NEW.origin <> 'REQUEST' THEN
            RAISE EXCEPTION 'a payout address of before versions cannot be added any more: request it'
                USING ERRCODE = 'check_violation';
        ELSIF NEW.status <> 'REQUESTED' THEN
            RAISE EXCEPTION 'a payout address starts as REQUESTED' USING ERRCODE = 'check_violation';
        ELSIF partners_address_is_changing(NEW.partner_id) THEN
            RAISE EXCEPTION 'a payout address of partner % is under way already: cancel it first', NEW.partner_id
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;

    step := OLD.status || ' ' || NEW.status;
    IF (NEW.id, NEW.partner_id, NEW.address, NEW.origin, NEW.requested_at, NEW.requested_by_id, NEW.reason,
            NEW.cooling_off_hours, NEW.notice_to)
        IS DISTINCT FROM (OLD.id, OLD.partner_id, OLD.address, OLD.origin, OLD.requested_at, OLD.requested_by_id,
            OLD.reason, OLD.cooling_off_hours, OLD.notice_to)
    THEN
        RAISE EXCEPTION 'payout address %: what was requested, and by whom, cannot change', OLD.id
            USING ERRCODE = 'check_violation';
    END IF;
    IF step IS NULL OR step NOT IN
        ('REQUESTED REQUESTED', 'REQUESTED APPROVED', 'REQUESTED CANCELLED', 'APPROVED CANCELLED')
    THEN
        RAISE EXCEPTION 'payout address %: cannot go from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;

    IF step = 'REQUESTED REQUESTED' THEN
        -- Only the news that the contacts were told, each once; the times are the database's.
        NEW.notified_at := CASE WHEN OLD.notified_at IS NULL AND NEW.notified_at IS NOT NULL THEN moment
            ELSE OLD.notified_at END;
        NEW.told_at := CASE WHEN OLD.told_by_id IS NULL AND NEW.told_by_id IS NOT NULL THEN moment ELSE OLD.told_at END;
        IF OLD.told_by_id IS NOT NULL
            AND (NEW.told_by_id, NEW.told_how) IS DISTINCT FROM (OLD.told_by_id, OLD.told_how)
        THEN
            RAISE EXCEPTION 'payout address %: who told the partner, and how, cannot change', OLD.id
                USING ERRCODE = 'check_violation';
        END IF;
    ELSIF (NEW.notified_at, NEW.notice_error, NEW.told_at, NEW.told_by_id, NEW.told_how)
        IS DISTINCT FROM (OLD.notified_at, OLD.notice_error, OLD.told_at, OLD.told_by_id, OLD.told_how)
    THEN
        RAISE EXCEPTION 'payout address %: the notice is not part of the decision', OLD.id
            USING ERRCODE = 'check_violation';
    END IF;

    IF NEW.status = 'APPROVED' THEN
        NEW.approved_at := moment;
        NEW.effective_from := moment + NEW.cooling_off_hours * interval '1 hour';
    ELSIF (NEW.approved_by_id, NEW.approved_at, NEW.effective_from)
        IS DISTINCT FROM (OLD.approved_by_id, OLD.approved_at, OLD.effective_from)
    THEN
        RAISE EXCEPTION 'payout address %: only an approval approves', OLD.id USING ERRCODE = 'check_violation';
    END IF;

    IF NEW.status = 'CANCELLED' THEN
        IF OLD.status = 'APPROVED' AND OLD.effective_from <= moment THEN
            RAISE EXCEPTION 'payout address %: took effect already; request another', OLD.id
                USING ERRCODE = 'check_violation';
        END IF;
        IF btrim(NEW.cancel_reason) = '' THEN
            RAISE EXCEPTION 'payout address %: cancelling needs a reason', OLD.id USING ERRCODE = 'check_violation';
        END IF;
        NEW.cancelled_at := moment;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER partners_payout_address_guard BEFORE INSERT OR UPDATE OR DELETE ON partners_payoutaddress
    FOR EACH ROW EXECUTE FUNCTION partners_payout_address_guard();

-- A transaction left open over the cooling-off would show its approval, once committed, as cooled off unseen.
CREATE FUNCTION partners_payout_address_at_once() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.approved_at < clock_timestamp() - interval '10 minutes' THEN
        RAISE EXCEPTION 'payout address %: approved at %, which is too long ago to be committed now', NEW.id, NEW.approved_at
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER partners_payout_address_at_once AFTER UPDATE ON partners_payoutaddress
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.status = 'APPROVED') EXECUTE FUNCTION partners_payout_address_at_once();
"""
UNDO_GUARD = """
DROP TRIGGER partners_payout_address_at_once ON partners_payoutaddress;
DROP FUNCTION partners_payout_address_at_once();
DROP TRIGGER partners_payout_address_guard ON partners_payoutaddress;
DROP FUNCTION partners_payout_address_guard();
DROP FUNCTION partners_address_is_changing(bigint);
DROP FUNCTION partners_address_in_force(bigint);
"""

VIEW_RIGHT = ("view_payoutaddress",)
RIGHTS = {
    "viewer": VIEW_RIGHT,
    "operator": (*VIEW_RIGHT, "request_payoutaddress"),
    "approver": (*VIEW_RIGHT, "approve_payoutaddress"),
    "administrator": (*VIEW_RIGHT, "request_payoutaddress"),
}


def grant_rights(apps, schema_editor):
    grant(apps, "partners", RIGHTS)


class Migration(migrations.Migration):

    dependencies = [
        ('partners', '0010_request_ids_and_export'),
        ('auth', '0012_alter_user_first_name_max_length'),
        ('contenttypes', '0002_remove_content_type_name'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='PayoutAddress',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('address', models.CharField(max_length=48, validators=[partners.models.validate_address])),
                ('origin', models.CharField(choices=[('REQUEST', 'Requested'), ('START', 'Given when the partner was added'), ('BEFORE', 'Set before versions were kept')], default='REQUEST', max_length=7)),
                ('status', models.CharField(choices=[('REQUESTED', 'Waits for a second person'), ('APPROVED', 'Approved'), ('CANCELLED', 'Cancelled')], default='REQUESTED', max_length=9)),
                ('requested_at', models.DateTimeField(help_text="By the database's clock, as all times here.")),
                ('reason', models.CharField(max_length=500)),
                ('cooling_off_hours', models.PositiveIntegerField(help_text='How long after its approval it takes effect.', verbose_name='cooling-off in hours')),
                ('notice_to', django.contrib.postgres.fields.ArrayField(base_field=models.EmailField(max_length=254), blank=True, default=list, help_text="The partner's contacts of the last 30 days when the change was requested.", size=None)),
                ('notified_at', models.DateTimeField(null=True)),
                ('notice_error', models.TextField(blank=True, help_text='Why the notice could not be sent.')),
                ('told_at', models.DateTimeField(null=True)),
                ('told_how', models.CharField(blank=True, max_length=500)),
                ('approved_at', models.DateTimeField(null=True)),
                ('effective_from', models.DateTimeField(null=True)),
                ('cancelled_at', models.DateTimeField(null=True)),
                ('cancel_reason', models.CharField(blank=True, max_length=500)),
            ],
            options={
                'verbose_name': 'payout address',
                'verbose_name_plural': 'payout addresses',
                'ordering': ['-id'],
                'permissions': [('request_payoutaddress', 'Can request a new payout address'), ('approve_payoutaddress', 'Can approve a new payout address')],
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='PayoutAddressEvent',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('pgh_context_id', models.UUIDField(null=True)),
                ('id', models.BigIntegerField()),
                ('address', models.CharField(max_length=48, validators=[partners.models.validate_address])),
                ('origin', models.CharField(choices=[('REQUEST', 'Requested'), ('START', 'Given when the partner was added'), ('BEFORE', 'Set before versions were kept')], default='REQUEST', max_length=7)),
                ('status', models.CharField(choices=[('REQUESTED', 'Waits for a second person'), ('APPROVED', 'Approved'), ('CANCELLED', 'Cancelled')], default='REQUESTED', max_length=9)),
                ('requested_at', models.DateTimeField(help_text="By the database's clock, as all times here.")),
                ('reason', models.CharField(max_length=500)),
                ('cooling_off_hours', models.PositiveIntegerField(help_text='How long after its approval it takes effect.', verbose_name='cooling-off in hours')),
                ('notice_to', django.contrib.postgres.fields.ArrayField(base_field=models.EmailField(max_length=254), blank=True, default=list, help_text="The partner's contacts of the last 30 days when the change was requested.", size=None)),
                ('notified_at', models.DateTimeField(null=True)),
                ('notice_error', models.TextField(blank=True, help_text='Why the notice could not be sent.')),
                ('told_at', models.DateTimeField(null=True)),
                ('told_how', models.CharField(blank=True, max_length=500)),
                ('approved_at', models.DateTimeField(null=True)),
                ('effective_from', models.DateTimeField(null=True)),
                ('cancelled_at', models.DateTimeField(null=True)),
                ('cancel_reason', models.CharField(blank=True, max_length=500)),
            ],
            options={
                'abstract': False,
            },
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='partner',
            name='insert_insert',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='partner',
            name='update_update',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='partner',
            name='delete_delete',
        ),
        # The history keeps the column: its seals cover what it held.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    "ALTER TABLE partners_partnerevent ALTER payout_address DROP NOT NULL", migrations.RunSQL.noop
                )
            ],
            state_operations=[migrations.RemoveField(model_name='partnerevent', name='payout_address')],
        ),
        migrations.AlterField(
            model_name='partner',
            name='contact_email',
            field=models.EmailField(blank=True, help_text='Told of every request for a new payout address, as are the contacts before it.', max_length=254),
        ),
        migrations.AlterField(
            model_name='partnerevent',
            name='contact_email',
            field=models.EmailField(blank=True, help_text='Told of every request for a new payout address, as are the contacts before it.', max_length=254),
        ),
        migrations.AlterField(
            model_name='seal',
            name='kind',
            field=models.CharField(max_length=16),
        ),
        migrations.AddField(
            model_name='payoutaddress',
            name='approved_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='payoutaddress',
            name='cancelled_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='payoutaddress',
            name='partner',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='payout_addresses', to='partners.partner'),
        ),
        migrations.AddField(
            model_name='payoutaddress',
            name='requested_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='payoutaddress',
            name='told_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='payoutaddressevent',
            name='approved_by',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='payoutaddressevent',
            name='cancelled_by',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='payoutaddressevent',
            name='partner',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='partners.partner'),
        ),
        migrations.AddField(
            model_name='payoutaddressevent',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='partners.payoutaddress'),
        ),
        migrations.AddField(
            model_name='payoutaddressevent',
            name='requested_by',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='payoutaddressevent',
            name='told_by',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='payoutaddress',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'REQUESTED')), fields=('partner',), name='payout_address_one_request'),
        ),
        migrations.AddConstraint(
            model_name='payoutaddress',
            constraint=models.CheckConstraint(condition=models.Q(('approved_by__isnull', True), models.Q(('approved_by', models.F('requested_by')), _negated=True), _connector='OR'), name='payout_address_approver_is_another'),
        ),
        migrations.AddConstraint(
            model_name='payoutaddress',
            constraint=models.CheckConstraint(condition=models.Q(('told_by__isnull', True), models.Q(('told_by', models.F('requested_by')), _negated=True), _connector='OR'), name='payout_address_teller_is_another'),
        ),
        migrations.AddConstraint(
            model_name='payoutaddress',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('approved_at__isnull', True), ('approved_by__isnull', True), ('cancel_reason', ''), ('cancelled_at__isnull', True), ('cancelled_by__isnull', True), ('effective_from__isnull', True), ('origin', 'REQUEST'), ('requested_by__isnull', False), ('status', 'REQUESTED')), models.Q(('approved_at__isnull', False), ('approved_by__isnull', False), ('cancel_reason', ''), ('cancelled_at__isnull', True), ('cancelled_by__isnull', True), ('effective_from__isnull', False), ('origin', 'REQUEST'), ('requested_by__isnull', False), ('status', 'APPROVED')), models.Q(('approved_at__isnull', True), ('approved_by__isnull', True), ('cancel_reason', ''), ('cancelled_at__isnull', True), ('cancelled_by__isnull', True), ('effective_from__isnull', False), ('origin__in', ['START', 'BEFORE']), ('status', 'APPROVED')), models.Q(('cancelled_at__isnull', False), ('cancelled_by__isnull', False), ('origin', 'REQUEST'), ('requested_by__isnull', False), ('status', 'CANCELLED'), models.Q(('cancel_reason', ''), _negated=True)), _connector='OR'), name='payout_address_status_fits_people'),
        ),
        migrations.AddConstraint(
            model_name='payoutaddress',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('origin', 'REQUEST'), _negated=True), ('cooling_off_hours__gte', 48), _connector='OR'), name='payout_address_cools_off'),
        ),
        migrations.AddConstraint(
            model_name='payoutaddress',
            constraint=models.CheckConstraint(condition=models.Q(('approved_at__isnull', True), models.Q(('effective_from__gte', django.db.models.expressions.CombinedExpression(models.F('approved_at'), '+', models.Value(datetime.timedelta(days=2)))), ('effective_from__isnull', False)), _connector='OR'), name='payout_address_effective_when_cooled'),
        ),
        migrations.AddConstraint(
            model_name='payoutaddress',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('origin', 'REQUEST'), ('status', 'APPROVED'), _negated=True), ('notified_at__isnull', False), ('told_at__isnull', False), _connector='OR'), name='payout_address_announced'),
        ),
        migrations.AddConstraint(
            model_name='payoutaddress',
            constraint=models.CheckConstraint(condition=models.Q(('notified_at__isnull', True), models.Q(models.Q(('notice_to', []), _negated=True), ('notice_error', '')), _connector='OR'), name='payout_address_notice_has_readers'),
        ),
        migrations.AddConstraint(
            model_name='payoutaddress',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('told_at__isnull', True), ('told_by__isnull', True), ('told_how', '')), models.Q(('told_at__isnull', False), ('told_by__isnull', False), models.Q(('told_how', ''), _negated=True)), _connector='OR'), name='payout_address_telling_is_whole'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='payoutaddress',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_payoutaddressevent" ("address", "approved_at", "approved_by_id", "cancel_reason", "cancelled_at", "cancelled_by_id", "cooling_off_hours", "effective_from", "id", "notice_error", "notice_to", "notified_at", "origin", "partner_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "reason", "requested_at", "requested_by_id", "status", "told_at", "told_by_id", "told_how") VALUES (NEW."address", NEW."approved_at", NEW."approved_by_id", NEW."cancel_reason", NEW."cancelled_at", NEW."cancelled_by_id", NEW."cooling_off_hours", NEW."effective_from", NEW."id", NEW."notice_error", NEW."notice_to", NEW."notified_at", NEW."origin", NEW."partner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'insert\', NEW."id", NEW."reason", NEW."requested_at", NEW."requested_by_id", NEW."status", NEW."told_at", NEW."told_by_id", NEW."told_how"); RETURN NULL;', hash='5b28e3eb488cf66553042d967566411d4340316a', operation='INSERT', pgid='pgtrigger_insert_insert_14b49', table='partners_payoutaddress', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='payoutaddress',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "partners_payoutaddressevent" ("address", "approved_at", "approved_by_id", "cancel_reason", "cancelled_at", "cancelled_by_id", "cooling_off_hours", "effective_from", "id", "notice_error", "notice_to", "notified_at", "origin", "partner_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "reason", "requested_at", "requested_by_id", "status", "told_at", "told_by_id", "told_how") VALUES (NEW."address", NEW."approved_at", NEW."approved_by_id", NEW."cancel_reason", NEW."cancelled_at", NEW."cancelled_by_id", NEW."cooling_off_hours", NEW."effective_from", NEW."id", NEW."notice_error", NEW."notice_to", NEW."notified_at", NEW."origin", NEW."partner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'update\', NEW."id", NEW."reason", NEW."requested_at", NEW."requested_by_id", NEW."status", NEW."told_at", NEW."told_by_id", NEW."told_how"); RETURN NULL;', hash='761e80873fc198e6a6308a793c2432b8a6104799', operation='UPDATE', pgid='pgtrigger_update_update_d7426', table='partners_payoutaddress', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='payoutaddress',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_payoutaddressevent" ("address", "approved_at", "approved_by_id", "cancel_reason", "cancelled_at", "cancelled_by_id", "cooling_off_hours", "effective_from", "id", "notice_error", "notice_to", "notified_at", "origin", "partner_id", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "reason", "requested_at", "requested_by_id", "status", "told_at", "told_by_id", "told_how") VALUES (OLD."address", OLD."approved_at", OLD."approved_by_id", OLD."cancel_reason", OLD."cancelled_at", OLD."cancelled_by_id", OLD."cooling_off_hours", OLD."effective_from", OLD."id", OLD."notice_error", OLD."notice_to", OLD."notified_at", OLD."origin", OLD."partner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'delete\', OLD."id", OLD."reason", OLD."requested_at", OLD."requested_by_id", OLD."status", OLD."told_at", OLD."told_by_id", OLD."told_how"); RETURN NULL;', hash='18230998d56eb16c7b2ee3ac24d0f1c157decab0', operation='DELETE', pgid='pgtrigger_delete_delete_64e93', table='partners_payoutaddress', when='AFTER')),
        ),
        migrations.RunSQL(HISTORY, UNDO_HISTORY),
        migrations.RunSQL(MOVE, MOVE_BACK),
        migrations.RemoveField(
            model_name='partner',
            name='payout_address',
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partner',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_partnerevent" ("contact_email", "id", "kind", "name", "notes", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "slug", "status") VALUES (NEW."contact_email", NEW."id", NEW."kind", NEW."name", NEW."notes", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'insert\', NEW."id", NEW."slug", NEW."status"); RETURN NULL;', hash='8e48a769ea3012664128cb1672790da5633a9e79', operation='INSERT', pgid='pgtrigger_insert_insert_71860', table='partners_partner', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partner',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "partners_partnerevent" ("contact_email", "id", "kind", "name", "notes", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "slug", "status") VALUES (NEW."contact_email", NEW."id", NEW."kind", NEW."name", NEW."notes", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'update\', NEW."id", NEW."slug", NEW."status"); RETURN NULL;', hash='f2c0fb16c1b2acefb2f4953cdb205412a601ec98', operation='UPDATE', pgid='pgtrigger_update_update_17ece', table='partners_partner', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partner',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "partners_partnerevent" ("contact_email", "id", "kind", "name", "notes", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "slug", "status") VALUES (OLD."contact_email", OLD."id", OLD."kind", OLD."name", OLD."notes", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, CLOCK_TIMESTAMP(), \'delete\', OLD."id", OLD."slug", OLD."status"); RETURN NULL;', hash='385ec2cfd66856b662f74f55c1fbb792a86d95b5', operation='DELETE', pgid='pgtrigger_delete_delete_e7dd8', table='partners_partner', when='AFTER')),
        ),
        migrations.RunSQL(PINNED, migrations.RunSQL.noop),
        migrations.RunSQL(IN_FORCE + GUARD, UNDO_GUARD),
        migrations.RunSQL(VIEW, f"DROP VIEW partners_change; {VIEW_BEFORE}"),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
    ]
