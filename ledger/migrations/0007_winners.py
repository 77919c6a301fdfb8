"""Who won each delegation of a closed period, once per block; the rates by volume that a part was earned at."""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
from django.db import migrations, models

from chain.rights import grant

# As the other rows of a period: written with it, never changed, and its sums checked at commit.
GUARDS = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_delegationwinner
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER sealed AFTER INSERT ON ledger_delegationwinner REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_late_row();
CREATE TRIGGER to_check AFTER INSERT ON ledger_delegationwinner REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_note_rows();

CREATE FUNCTION ledger_check_winners(period bigint) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE closed ledger_period;
BEGIN
    SELECT * INTO closed FROM ledger_period WHERE id = period;
    IF EXISTS (
        SELECT FROM ledger_delegationwinner w
        JOIN partners_rule r ON r.id = w.rule_id JOIN partners_agreement g ON g.id = w.agreement_id
        WHERE w.period_id = period AND NOT (
            w.blocks <@ closed.blocks AND r.agreement_id = w.agreement_id AND g.partner_id = w.partner_id)
    ) THEN
        PERFORM ledger_broken('delegation_winner_fits', format(
            'a winner of period %s is of another period''s block, another agreement''s rule or another partner', closed.key));
    END IF;
    -- What a delegator earned is a partner's exactly where a rule of theirs won it.
    IF EXISTS (
        SELECT FROM (
            SELECT DISTINCT hotkey, netuid, side, coldkey, partner_id FROM ledger_delegatortake
            WHERE period_id = period AND partner_id IS NOT NULL
        ) t WHERE NOT EXISTS (
            SELECT FROM ledger_delegationwinner w WHERE w.period_id = period AND w.hotkey = t.hotkey
                AND w.netuid = t.netuid AND w.side = t.side AND w.coldkey = t.coldkey AND w.partner_id = t.partner_id)
    ) THEN
        PERFORM ledger_broken('delegator_take_was_won', format(
            'a delegator take of period %s is a partner''s without a rule that won it', closed.key));
    END IF;
END $$;
"""
RUN_CHECK = """
CREATE OR REPLACE FUNCTION ledger_run_check() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    DELETE FROM ledger_due_check WHERE kind = NEW.kind AND key = NEW.key;
    IF NEW.kind = 'entry' THEN
        PERFORM ledger_check_entry(NEW.key);
    ELSE
        PERFORM ledger_check_period(NEW.key);%s
    END IF;
    RETURN NULL;
END $$;
"""
WITH_WINNERS = "\n        PERFORM ledger_check_winners(NEW.key);"

ROLES = ("viewer", "operator", "approver", "administrator")


def grant_rights(apps, schema_editor):
    grant(apps, "ledger", {role: ("view_delegationwinner",) for role in ROLES})


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0006_handed_on'),
        ('partners', '0007_volume_and_exclusions'),
    ]

    operations = [
        migrations.AddField(
            model_name='partnertake',
            name='steps',
            field=django.contrib.postgres.fields.ArrayField(base_field=django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=2), db_default=[], default=list, help_text="Rates by the month's volume: from rao, basis points. Empty: the one rate holds for all of it.", size=None),
        ),
        migrations.CreateModel(
            name='DelegationWinner',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hotkey', models.CharField(max_length=48)),
                ('netuid', models.PositiveIntegerField()),
                ('side', models.CharField(choices=[('ALPHA', 'Subnet alpha'), ('ROOT', 'Root TAO'), ('REWARDS', 'Inflation rewards'), ('EXEC_FEES', 'Block and priority fees'), ('MEV', 'MEV tips')], max_length=9)),
                ('coldkey', models.CharField(max_length=48)),
                ('tag_hash', models.CharField(blank=True, help_text='Of the remark it came under, or empty.', max_length=66)),
                ('blocks', django.contrib.postgres.fields.ranges.BigIntegerRangeField(help_text='From the first epoch that it won to the last.')),
                ('outranked', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, size=None)),
                ('agreement', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='partners.agreement')),
                ('partner', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='partners.partner')),
                ('period', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='winners', to='ledger.period')),
                ('rule', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='partners.rule')),
                ('wallet', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='partners.wallet')),
            ],
            options={
                'ordering': ['period', 'hotkey', 'netuid', 'side', 'coldkey', 'tag_hash', 'blocks'],
                'indexes': [models.Index(fields=['coldkey'], name='ledger_dele_coldkey_acd47a_idx')],
                'constraints': [django.contrib.postgres.constraints.ExclusionConstraint(expressions=[('hotkey', '='), ('netuid', '='), ('side', '='), ('coldkey', '='), ('tag_hash', '='), ('blocks', '&&')], name='delegation_won_once'), models.CheckConstraint(condition=models.Q(('blocks__endswith__isnull', False), ('blocks__isempty', False), ('blocks__startswith__isnull', False)), name='delegation_won_at_blocks')],
            },
        ),
        migrations.RunSQL(
            GUARDS + RUN_CHECK % WITH_WINNERS,
            RUN_CHECK % "" + "DROP FUNCTION ledger_check_winners(bigint);",
        ),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
    ]
