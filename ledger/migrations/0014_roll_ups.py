"""What delegators earned in a closed period as two columns for each pool instead of a row for each; a view reads the rows."""

import importlib

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import chain.fields

BEFORE = importlib.import_module("ledger.migrations.0007_winners").RUN_CHECK
WITH_WALLETS = importlib.import_module("ledger.migrations.0012_lines_by_wallet").WITH_WALLETS
check_period = importlib.import_module("ledger.migrations.0005_imports").check_period
# What a pool's delegators earned is the sum of its roll-ups.
CHECK_PERIOD = check_period("asset <> 'ALPHA'").replace("ledger_delegatortake", "ledger_rollup")
# First, because the other checks rest on it.
FIRST = "PERFORM ledger_check_period(NEW.key);"
RUN_CHECK = BEFORE.replace(FIRST, "PERFORM ledger_check_roll_ups(NEW.key);\n        " + FIRST) % WITH_WALLETS

MOVE = """
INSERT INTO ledger_delegator (coldkey) SELECT DISTINCT coldkey COLLATE "C" FROM ledger_delegatortake ORDER BY 1;
INSERT INTO ledger_rollup (period_id, hotkey, netuid, side, partner_id, delegators, takes_rao, take_rao)
    SELECT t.period_id, t.hotkey, t.netuid, t.side, t.partner_id, array_agg(d.id ORDER BY t.coldkey COLLATE "C"),
        array_agg(t.take_rao ORDER BY t.coldkey COLLATE "C"), sum(t.take_rao)
    FROM ledger_delegatortake t JOIN ledger_delegator d USING (coldkey) WHERE t.take_rao > 0
    GROUP BY t.period_id, t.hotkey, t.netuid, t.side, t.partner_id;
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
DROP TABLE ledger_delegatortake;
CREATE VIEW ledger_delegatortake AS
    SELECT r.id * 16777216 + u.place AS id, r.period_id, r.hotkey, r.netuid, r.side, d.coldkey, r.partner_id, u.take_rao
    FROM ledger_rollup r
    CROSS JOIN LATERAL unnest(r.delegators, r.takes_rao) WITH ORDINALITY AS u (delegator_id, take_rao, place)
    JOIN ledger_delegator d ON d.id = u.delegator_id;
"""

GUARDS = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_delegator
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_rollup
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER sealed AFTER INSERT ON ledger_rollup REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_late_row();
CREATE TRIGGER to_check AFTER INSERT ON ledger_rollup REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_note_rows();

-- The view leaves out whom it does not know, and sums per roll-up are believed.
CREATE FUNCTION ledger_check_roll_ups(period bigint) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE wrong record;
BEGIN
    SELECT r.netuid, r.side, p.key INTO wrong
    FROM ledger_rollup r JOIN ledger_period p ON p.id = r.period_id CROSS JOIN LATERAL (
        SELECT count(*) AS places, count(DISTINCT u.who) AS people, count(u.take) AS takes,
            min(u.take) AS least, sum(u.take) AS take
        FROM unnest(r.delegators, r.takes_rao) AS u (who, take)
    ) found
    WHERE r.period_id = period AND (
        found.take IS DISTINCT FROM r.take_rao OR found.least <= 0 OR found.takes <> found.places
        OR found.people <> found.places)
    LIMIT 1;
    IF FOUND THEN
        PERFORM ledger_broken('roll_up_adds_up', format(
            'a roll-up of period %s, netuid %s %s does not add up, or names nobody, somebody twice or nothing earned',
            wrong.key, wrong.netuid, wrong.side));
    END IF;
    -- Each once over all pools, where a foreign key would ask once for each.
    SELECT u.who INTO wrong FROM (
        SELECT DISTINCT u.who FROM ledger_rollup r CROSS JOIN LATERAL unnest(r.delegators) AS u (who)
        WHERE r.period_id = period
    ) u LEFT JOIN ledger_delegator d ON d.id = u.who WHERE d.id IS NULL LIMIT 1;
    IF FOUND THEN
        PERFORM ledger_broken('roll_up_names_delegators', format('there is no delegator %s', wrong.who));
    END IF;
END $$;

-- As before, by sets: the planner does not foresee how many a roll-up has, and compared each with each.
CREATE OR REPLACE FUNCTION ledger_check_winners(period bigint) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
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
        SELECT hotkey, netuid, side, coldkey, partner_id FROM ledger_delegatortake
        WHERE period_id = period AND partner_id IS NOT NULL
        EXCEPT
        SELECT hotkey, netuid, side, coldkey, partner_id FROM ledger_delegationwinner WHERE period_id = period
    ) THEN
        PERFORM ledger_broken('delegator_take_was_won', format(
            'a delegator take of period %s is a partner''s without a rule that won it', closed.key));
    END IF;
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0013_rulesets'),
        ('partners', '0022_changes_in_order'),
    ]

    operations = [
        migrations.CreateModel(
            name='Delegator',
            fields=[
                ('id', models.AutoField(primary_key=True, serialize=False)),
                ('coldkey', models.CharField(max_length=48, unique=True)),
            ],
        ),
        migrations.CreateModel(
            name='RollUp',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hotkey', models.CharField(max_length=48)),
                ('netuid', models.PositiveIntegerField()),
                ('side', models.CharField(choices=[('ALPHA', 'Subnet alpha'), ('ROOT', 'Root TAO'), ('REWARDS', 'Inflation rewards'), ('EXEC_FEES', 'Block and priority fees'), ('MEV', 'MEV tips')], max_length=9)),
                ('delegators', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('takes_rao', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None)),
                ('take_rao', chain.fields.RaoField(help_text='Their sum.')),
                ('partner', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='partners.partner')),
                ('period', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='roll_ups', to='ledger.period')),
            ],
            options={
                'ordering': ['period', 'hotkey', 'netuid', 'side', 'partner'],
                'constraints': [models.UniqueConstraint(fields=('period', 'hotkey', 'netuid', 'side', 'partner'), name='roll_up_once', nulls_distinct=False), models.CheckConstraint(condition=models.Q(('delegators__len', models.F('takes_rao__len')), ('delegators__len__gt', 0), ('take_rao__gt', 0)), name='roll_up_names_whose_each_take_is')],
            },
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.DeleteModel(name='DelegatorTake'),
                migrations.CreateModel(
                    name='DelegatorTake',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('hotkey', models.CharField(max_length=48)),
                        ('netuid', models.PositiveIntegerField()),
                        ('side', models.CharField(choices=[('ALPHA', 'Subnet alpha'), ('ROOT', 'Root TAO'), ('REWARDS', 'Inflation rewards'), ('EXEC_FEES', 'Block and priority fees'), ('MEV', 'MEV tips')], max_length=9)),
                        ('coldkey', models.CharField(max_length=48)),
                        ('take_rao', chain.fields.RaoField()),
                        ('partner', models.ForeignKey(null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='partners.partner')),
                        ('period', models.ForeignKey(on_delete=django.db.models.deletion.DO_NOTHING, related_name='delegator_takes', to='ledger.period')),
                    ],
                    options={
                        'db_table': 'ledger_delegatortake',
                        'ordering': ['period', 'hotkey', 'netuid', 'side', 'coldkey'],
                        'managed': False,
                    },
                ),
            ],
            # There is no way back: as rows again they would take hours and a hundred times the room.
            database_operations=[migrations.RunSQL(MOVE + GUARDS + CHECK_PERIOD + RUN_CHECK)],
        ),
    ]
