"""Backfills and their chunks; how a gap ends; what of a gap may ever change; who may run and who may accept."""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from chain.rights import grant

KNOWN_ENDS = "UPDATE chain_gap SET state = 'RESOLVED' WHERE resolved_at IS NOT NULL"

# A gap is found once and ends once. Who wants to know what was ever missing finds it here.
ENDS_ONCE = """
CREATE FUNCTION chain_gap_ends_once() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state = 'OPEN'
        AND (NEW.id, NEW.kind, NEW.blocks, NEW.reason, NEW.detected_at, NEW.detected_by_id)
            IS NOT DISTINCT FROM (OLD.id, OLD.kind, OLD.blocks, OLD.reason, OLD.detected_at, OLD.detected_by_id)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a gap is found once and ends once, % is refused', TG_OP
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'gap_ends_once', TABLE = TG_TABLE_NAME;
END $$;

CREATE TRIGGER ends_once BEFORE UPDATE OR DELETE ON chain_gap
    FOR EACH ROW EXECUTE FUNCTION chain_gap_ends_once();
CREATE TRIGGER ends_once_truncate BEFORE TRUNCATE ON chain_gap
    FOR EACH STATEMENT EXECUTE FUNCTION chain_gap_ends_once();
"""

VIEW = ("view_backfill", "view_backfillchunk")
RIGHTS = {
    "viewer": VIEW,
    "operator": (*VIEW, "run_backfill"),
    "approver": (*VIEW, "accept_gap"),
    "administrator": (*VIEW, "run_backfill", "accept_gap"),
}


def grant_rights(apps, schema_editor):
    grant(apps, "chain", RIGHTS)


class Migration(migrations.Migration):

    dependencies = [
        ('chain', '0009_providers'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Backfill',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('first_block', models.BigIntegerField()),
                ('last_block', models.BigIntegerField()),
                ('hotkeys', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=48), size=None)),
                ('source', models.CharField(max_length=200)),
                ('runs_on', models.CharField(choices=[('WORKERS', 'Celery workers'), ('LOCAL', 'Processes of one command')], max_length=8)),
                ('parallel_max', models.PositiveIntegerField(help_text='Chunks that are read at the same time.')),
                ('ahead_max', models.PositiveIntegerField(help_text='Chunks, from the next one to store on, that may be read or wait to be stored.')),
                ('lease_seconds', models.PositiveIntegerField(help_text='A worker that is silent for so long has lost its chunk.')),
                ('state', models.CharField(choices=[('RUNNING', 'Running'), ('PAUSED', 'Paused'), ('STOPPED', 'Stopped at a gap'), ('DONE', 'Done'), ('CANCELLED', 'Cancelled')], default='RUNNING', max_length=9)),
                ('error', models.TextField(blank=True)),
                ('asked_at', models.DateTimeField()),
                ('seen_at', models.DateTimeField(help_text='When a worker last did something for it.')),
                ('finished_at', models.DateTimeField(null=True)),
            ],
            options={
                'ordering': ['-id'],
                'permissions': [('run_backfill', 'Can start, pause, resume and cancel backfills and retry gaps')],
            },
        ),
        migrations.CreateModel(
            name='BackfillChunk',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('blocks', django.contrib.postgres.fields.ranges.BigIntegerRangeField()),
                ('state', models.CharField(choices=[('WAITING', 'Waiting'), ('READING', 'Being read'), ('READY', 'Read'), ('FAILED', 'Failed'), ('STORED', 'Stored'), ('CANCELLED', 'Cancelled')], default='WAITING', max_length=9)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('blocks_read', models.PositiveIntegerField(default=0)),
                ('claim', models.UUIDField(help_text='Made anew by each claim: only its holder may write.', null=True)),
                ('worker', models.CharField(blank=True, max_length=80)),
                ('lease_until', models.DateTimeField(null=True)),
                ('not_before', models.DateTimeField(help_text='When a chunk that failed may be read again.', null=True)),
                ('payload', models.BinaryField(null=True)),
                ('stored_at', models.DateTimeField(null=True)),
                ('error', models.TextField(blank=True)),
                ('gap_kind', models.CharField(blank=True, help_text='The gap to record if the backfill stops here.', max_length=20)),
            ],
            options={
                'ordering': ['backfill', 'number'],
            },
        ),
        migrations.AlterModelOptions(
            name='gap',
            options={'ordering': ['-id'], 'permissions': [('accept_gap', 'Can accept that blocks can never be read')]},
        ),
        migrations.AddField(
            model_name='gap',
            name='accepted_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='gap',
            name='accepted_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='gap',
            name='accepted_reason',
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name='gap',
            name='state',
            field=models.CharField(choices=[('OPEN', 'Open'), ('RESOLVED', 'Resolved'), ('UNRECOVERABLE', 'Unrecoverable')], default='OPEN', max_length=13),
        ),
        migrations.AlterField(
            model_name='gap',
            name='detected_by',
            field=models.ForeignKey(help_text='Empty for what the check for gaps found.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='gaps_found', to='chain.ingestrun'),
        ),
        migrations.AlterField(
            model_name='gap',
            name='kind',
            field=models.CharField(choices=[('READ_MISSING', 'Read missing'), ('METHODS_DISAGREE', 'Take methods disagree'), ('POSITIONS_DISAGREE', 'Positions disagree with the chain'), ('UNKNOWN_RUNTIME', 'Unknown runtime'), ('UNSUPPORTED', 'Not supported yet'), ('UNACCOUNTED', 'Amount left open by the chain'), ('MISSING_BLOCKS', 'Blocks missing between others'), ('RUN_ENDED', 'A run ended early'), ('BEHIND', 'Behind the chain')], max_length=20),
        ),
        migrations.RunSQL(KNOWN_ENDS, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name='gap',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('resolved_at__isnull', False), ('state', 'RESOLVED')), models.Q(models.Q(('state', 'RESOLVED'), _negated=True), ('resolved_at__isnull', True), ('resolved_by__isnull', True)), _connector='OR'), name='gap_resolved_fits_state'),
        ),
        migrations.AddConstraint(
            model_name='gap',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('accepted_at__isnull', False), ('accepted_by__isnull', False), ('state', 'UNRECOVERABLE'), models.Q(('accepted_reason', ''), _negated=True)), models.Q(models.Q(('state', 'UNRECOVERABLE'), _negated=True), ('accepted_at__isnull', True), ('accepted_by__isnull', True), ('accepted_reason', '')), _connector='OR'), name='gap_unrecoverable_is_accepted'),
        ),
        migrations.AddConstraint(
            model_name='gap',
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(condition=models.Q(('state', 'UNRECOVERABLE'), models.Q(('kind', 'UNACCOUNTED'), _negated=True)), expressions=[('blocks', '&&')], name='gap_lost_once'),
        ),
        migrations.AddField(
            model_name='backfill',
            name='asked_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='backfill',
            name='run',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='backfills', to='chain.ingestrun'),
        ),
        migrations.AddField(
            model_name='backfillchunk',
            name='backfill',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='chunks', to='chain.backfill'),
        ),
        migrations.AddConstraint(
            model_name='backfill',
            constraint=models.CheckConstraint(condition=models.Q(('first_block__gte', 1), ('last_block__gte', models.F('first_block'))), name='backfill_range_valid'),
        ),
        migrations.AddConstraint(
            model_name='backfill',
            constraint=models.CheckConstraint(condition=models.Q(('ahead_max__gte', 1), ('lease_seconds__gte', 1), ('parallel_max__gte', 1)), name='backfill_limits_positive'),
        ),
        migrations.AddConstraint(
            model_name='backfill',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', True), ('state__in', ['RUNNING', 'PAUSED', 'STOPPED'])), models.Q(('finished_at__isnull', False), ('state__in', ['DONE', 'CANCELLED'])), _connector='OR'), name='backfill_finished_fits_state'),
        ),
        migrations.AddConstraint(
            model_name='backfill',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'STOPPED'), _negated=True), models.Q(('error', ''), _negated=True), _connector='OR'), name='backfill_stopped_has_reason'),
        ),
        migrations.AddConstraint(
            model_name='backfill',
            constraint=models.UniqueConstraint(models.ExpressionWrapper(models.Q(('finished_at__isnull', True)), output_field=models.BooleanField()), condition=models.Q(('finished_at__isnull', True)), name='backfill_one_at_a_time'),
        ),
        migrations.AddIndex(
            model_name='backfillchunk',
            index=models.Index(fields=['backfill', 'state', 'number'], name='chain_backf_backfil_d8c7a5_idx'),
        ),
        migrations.AddConstraint(
            model_name='backfillchunk',
            constraint=models.UniqueConstraint(fields=('backfill', 'number'), name='backfill_chunk_once'),
        ),
        migrations.AddConstraint(
            model_name='backfillchunk',
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(expressions=[('backfill', '='), ('blocks', '&&')], name='backfill_chunk_no_overlap'),
        ),
        migrations.AddConstraint(
            model_name='backfillchunk',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('claim__isnull', False), ('lease_until__isnull', False), ('state', 'READING')), models.Q(models.Q(('state', 'READING'), _negated=True), ('claim__isnull', True), ('lease_until__isnull', True)), _connector='OR'), name='backfill_chunk_claim_fits_state'),
        ),
        migrations.AddConstraint(
            model_name='backfillchunk',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('payload__isnull', False), ('state__in', ['READY', 'FAILED'])), models.Q(models.Q(('state__in', ['READY', 'FAILED']), _negated=True), ('payload__isnull', True)), _connector='OR'), name='backfill_chunk_payload_fits_state'),
        ),
        migrations.AddConstraint(
            model_name='backfillchunk',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'FAILED'), _negated=True), models.Q(('error', ''), _negated=True), _connector='OR'), name='backfill_chunk_failed_has_reason'),
        ),
        migrations.AddConstraint(
            model_name='backfillchunk',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'STORED'), ('stored_at__isnull', False)), models.Q(models.Q(('state', 'STORED'), _negated=True), ('stored_at__isnull', True)), _connector='OR'), name='backfill_chunk_stored_fits_state'),
        ),
        migrations.RunSQL(ENDS_ONCE, "DROP FUNCTION chain_gap_ends_once CASCADE"),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
    ]
