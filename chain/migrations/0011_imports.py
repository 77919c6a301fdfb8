"""Facts of other chains from files: which import gave them, who earned what, and what the database refuses of them."""

import chain.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from chain.rights import grant

TRIGGERS = """
-- What an import wrote is sealed with its transaction: the run remembers it, whatever the writer claims.
ALTER TABLE chain_importrun ADD COLUMN written_in xid8 NOT NULL DEFAULT pg_current_xact_id();

CREATE FUNCTION chain_remember_transaction() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    NEW.written_in := pg_current_xact_id();
    RETURN NEW;
END $$;
CREATE TRIGGER remember_transaction BEFORE INSERT ON chain_importrun
    FOR EACH ROW EXECUTE FUNCTION chain_remember_transaction();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON chain_importrun
    FOR EACH STATEMENT EXECUTE FUNCTION chain_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON chain_stakerreward
    FOR EACH STATEMENT EXECUTE FUNCTION chain_refuse_change();

CREATE FUNCTION chain_refuse_late_import() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_rows n JOIN chain_importrun r ON r.id = n.import_run_id
        WHERE r.written_in <> pg_current_xact_id()
    ) THEN
        RAISE EXCEPTION '% rows are written together with their import: import another file instead', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'import_sealed', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER import_sealed AFTER INSERT ON chain_block REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION chain_refuse_late_import();
CREATE TRIGGER import_sealed AFTER INSERT ON chain_yield REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION chain_refuse_late_import();
CREATE TRIGGER import_sealed AFTER INSERT ON chain_stakeevent REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION chain_refuse_late_import();

CREATE FUNCTION chain_refuse_late_reward() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    -- The yield must be visible: foreign keys are deferred, and one written later would not have been looked at.
    IF EXISTS (
        SELECT FROM new_rows n WHERE NOT EXISTS (
            SELECT FROM chain_yield y JOIN chain_importrun r ON r.id = y.import_run_id
            WHERE y.id = n.source_id AND r.written_in = pg_current_xact_id())
    ) THEN
        RAISE EXCEPTION 'rewards are written together with their imported yield'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'import_sealed', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER import_sealed AFTER INSERT ON chain_stakerreward REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION chain_refuse_late_reward();

-- Once per yield, not per reward, which would be quadratic; rewards cannot come after the commit that this waits for.
CREATE FUNCTION chain_check_rewards() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE given record;
BEGIN
    SELECT coalesce(sum(amount_rao), 0) AS take, coalesce(sum(dividend_rao), 0) AS dividend INTO given
    FROM chain_stakerreward WHERE source_id = NEW.id;
    IF given.take <> NEW.take_rao OR given.dividend <> NEW.dividend_rao THEN
        RAISE EXCEPTION 'the rewards of epoch % % add up to % and %, the yield says % and %',
            NEW.epoch, NEW.side, given.take, given.dividend, NEW.take_rao, NEW.dividend_rao
            USING ERRCODE = 'check_violation', CONSTRAINT = 'rewards_make_the_yield', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER rewards_make_the_yield AFTER INSERT ON chain_yield
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.import_run_id IS NOT NULL)
    EXECUTE FUNCTION chain_check_rewards();

-- One installation holds one chain: blocks come from a node on Bittensor and from files elsewhere.
CREATE FUNCTION chain_check_family() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE family text := coalesce((SELECT n.family FROM chain_network n), 'BITTENSOR');
BEGIN
    IF EXISTS (SELECT FROM new_rows WHERE (import_run_id IS NULL) <> (family = 'BITTENSOR')) THEN
        RAISE EXCEPTION 'this database holds %: blocks of Bittensor come from a node, those of other chains from files', family
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'block_fits_network', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER fits_network AFTER INSERT ON chain_block REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION chain_check_family();
"""
BACK = """
DROP FUNCTION chain_remember_transaction, chain_refuse_late_import, chain_refuse_late_reward, chain_check_rewards,
    chain_check_family CASCADE;
"""

VIEW = ("view_importrun", "view_stakerreward")
RIGHTS = {
    "viewer": VIEW,
    "operator": (*VIEW, "add_importrun"),
    "approver": VIEW,
    "administrator": (*VIEW, "add_importrun"),
}


def grant_rights(apps, schema_editor):
    grant(apps, "chain", RIGHTS)


class Migration(migrations.Migration):

    dependencies = [
        ('chain', '0010_backfill'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ImportRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('file_name', models.CharField(max_length=200)),
                ('sha256', models.CharField(help_text='Of the file as it was uploaded.', max_length=64, unique=True)),
                ('row_count', models.PositiveIntegerField(help_text='Rows of the file.')),
                ('reward_count', models.PositiveIntegerField(help_text='Staker rewards it added.')),
                ('stake_event_count', models.PositiveIntegerField(help_text='Stake events it added.')),
                ('imported_at', models.DateTimeField()),
            ],
            options={
                'verbose_name': 'import',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='StakerReward',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('coldkey', models.CharField(help_text='Who may withdraw the stake.', max_length=48)),
                ('amount_rao', chain.fields.RaoField(help_text="The validator's part: revenue from this staker.")),
                ('dividend_rao', chain.fields.RaoField(help_text='What the staker was credited after it.')),
                ('import_row', models.PositiveIntegerField(help_text='Row of the file, as its preview counts.')),
            ],
            options={
                'ordering': ['source', 'coldkey'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='yield',
            name='yield_pool_fits_side',
        ),
        migrations.AddField(
            model_name='network',
            name='family',
            field=models.CharField(choices=[('BITTENSOR', 'Bittensor'), ('SOLANA', 'Solana')], default='BITTENSOR', max_length=12),
        ),
        migrations.AddField(
            model_name='stakeevent',
            name='import_row',
            field=models.PositiveIntegerField(help_text='Row of the file, as its preview counts.', null=True),
        ),
        migrations.AddField(
            model_name='yield',
            name='epoch',
            field=models.BigIntegerField(help_text="The other chain's own number of the epoch.", null=True),
        ),
        migrations.AlterField(
            model_name='block',
            name='parent_hash',
            field=models.CharField(blank=True, max_length=66),
        ),
        migrations.AlterField(
            model_name='block',
            name='runtime',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='chain.runtime'),
        ),
        migrations.AlterField(
            model_name='network',
            name='ss58_prefix',
            field=models.PositiveIntegerField(default=42, help_text='Empty on other families.', null=True),
        ),
        migrations.AlterField(
            model_name='stakeevent',
            name='extrinsic_hash',
            field=models.CharField(blank=True, max_length=88),
        ),
        migrations.AlterField(
            model_name='stakeevent',
            name='fee_asset',
            field=models.CharField(choices=[('ALPHA', 'Alpha'), ('TAO', 'TAO'), ('SOL', 'SOL')], max_length=5),
        ),
        migrations.AlterField(
            model_name='yield',
            name='asset',
            field=models.CharField(choices=[('ALPHA', 'Alpha'), ('TAO', 'TAO'), ('SOL', 'SOL')], max_length=5),
        ),
        migrations.AlterField(
            model_name='yield',
            name='owner',
            field=models.CharField(blank=True, help_text='Coldkey credited with the take; files do not say.', max_length=48),
        ),
        migrations.AlterField(
            model_name='yield',
            name='pool_before_rao',
            field=chain.fields.RaoField(help_text='Pool value at the parent block.', null=True),
        ),
        migrations.AlterField(
            model_name='yield',
            name='share_total',
            field=chain.fields.Uint128Field(help_text='Denominator of the pool at the parent block, raw bits.', null=True),
        ),
        migrations.AlterField(
            model_name='yield',
            name='side',
            field=models.CharField(choices=[('ALPHA', 'Subnet alpha'), ('ROOT', 'Root TAO'), ('REWARDS', 'Inflation rewards'), ('EXEC_FEES', 'Block and priority fees'), ('MEV', 'MEV tips')], max_length=9),
        ),
        migrations.AlterField(
            model_name='yield',
            name='take_high_rao',
            field=chain.fields.RaoField(null=True),
        ),
        migrations.AlterField(
            model_name='yield',
            name='take_low_rao',
            field=chain.fields.RaoField(null=True),
        ),
        migrations.AlterField(
            model_name='yield',
            name='take_u16',
            field=models.PositiveIntegerField(help_text='Delegate take, parts of 65,535.', null=True),
        ),
        migrations.AlterField(
            model_name='yield',
            name='proof',
            field=models.CharField(blank=True, choices=[('POOL', 'Whole pool replayed'), ('SHARES', "Owner's share replayed"), ('VALUE', 'Growth of the pool'), ('DOUBT', 'Open by a rao')], default='POOL', max_length=6),
        ),
        migrations.AddConstraint(
            model_name='network',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('family', 'BITTENSOR'), ('ss58_prefix__isnull', False)), models.Q(('family', 'SOLANA'), ('ss58_prefix__isnull', True)), _connector='OR'), name='network_prefix_fits_family'),
        ),
        migrations.AddField(
            model_name='importrun',
            name='imported_by',
            field=models.ForeignKey(help_text='Empty: by command.', null=True, on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='block',
            name='import_run',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='blocks', to='chain.importrun'),
        ),
        migrations.AddField(
            model_name='stakeevent',
            name='import_run',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='stake_events', to='chain.importrun'),
        ),
        migrations.AddField(
            model_name='yield',
            name='import_run',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='yields', to='chain.importrun'),
        ),
        migrations.AddConstraint(
            model_name='block',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('import_run__isnull', True), ('runtime__isnull', False)), models.Q(('import_run__isnull', False), ('parent_hash', ''), ('runtime__isnull', True)), _connector='OR'), name='block_read_or_imported'),
        ),
        migrations.AddConstraint(
            model_name='stakeevent',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('fee_asset__in', ['ALPHA', 'TAO']), ('import_row__isnull', True), ('import_run__isnull', True)), models.Q(('fee_asset', 'SOL'), ('import_row__isnull', False), ('import_run__isnull', False), ('netuid', 0)), _connector='OR'), name='stake_event_read_or_imported'),
        ),
        migrations.AddConstraint(
            model_name='yield',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('asset', 'ALPHA'), ('pool_netuid', models.F('netuid')), ('side', 'ALPHA')), models.Q(('pool_netuid', 0), ('side', 'ROOT')), models.Q(('netuid', 0), ('pool_netuid', 0), ('side__in', ('REWARDS', 'EXEC_FEES', 'MEV'))), _connector='OR'), name='yield_pool_fits_side'),
        ),
        migrations.AddConstraint(
            model_name='yield',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('asset__in', ['ALPHA', 'TAO']), ('epoch__isnull', True), ('import_run__isnull', True), ('pool_before_rao__isnull', False), ('proof__in', ['POOL', 'SHARES', 'VALUE', 'DOUBT']), ('share_total__isnull', False), ('side__in', ['ALPHA', 'ROOT']), ('take_high_rao__isnull', False), ('take_low_rao__isnull', False), ('take_u16__isnull', False)), models.Q(('asset', 'SOL'), ('epoch__gte', 0), ('epoch__isnull', False), ('import_run__isnull', False), ('other_rao', 0), ('pool_before_rao__isnull', True), ('proof', ''), ('share_total__isnull', True), ('share_total_exponent__isnull', True), ('side__in', ('REWARDS', 'EXEC_FEES', 'MEV')), ('take_high_rao__isnull', True), ('take_low_rao__isnull', True), ('take_u16__isnull', True)), _connector='OR'), name='yield_read_or_imported'),
        ),
        migrations.AddConstraint(
            model_name='yield',
            constraint=models.UniqueConstraint(fields=('epoch', 'hotkey', 'side'), name='yield_once_per_epoch'),
        ),
        migrations.AddField(
            model_name='stakerreward',
            name='source',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='staker_rewards', to='chain.yield'),
        ),
        migrations.AddIndex(
            model_name='stakerreward',
            index=models.Index(fields=['coldkey'], name='chain_stake_coldkey_742109_idx'),
        ),
        migrations.AddConstraint(
            model_name='stakerreward',
            constraint=models.UniqueConstraint(fields=('source', 'coldkey'), name='staker_reward_once'),
        ),
        migrations.AddConstraint(
            model_name='stakerreward',
            constraint=models.CheckConstraint(condition=models.Q(('amount_rao__gte', 0), ('dividend_rao__gte', 0), models.Q(('amount_rao__gt', 0), ('dividend_rao__gt', 0), _connector='OR')), name='staker_reward_positive'),
        ),
        migrations.RunSQL(TRIGGERS, BACK),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
    ]
