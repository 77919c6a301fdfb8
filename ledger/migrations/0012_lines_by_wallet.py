"""Lines that name the wallet that earned them, and the take by which they are split."""

import importlib

import chain.fields
import django.db.models.deletion
from django.db import migrations, models

RUN_CHECK = importlib.import_module("ledger.migrations.0007_winners").RUN_CHECK

# As the other rows of a period: written with it, never changed, and its sums checked at commit.
GUARDS = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_namedtake
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER sealed AFTER INSERT ON ledger_namedtake REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_late_row();
CREATE TRIGGER to_check AFTER INSERT ON ledger_namedtake REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_note_rows();

CREATE FUNCTION ledger_check_wallets(period bigint) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE closed ledger_period;
BEGIN
    SELECT * INTO closed FROM ledger_period WHERE id = period;
    IF EXISTS (
        SELECT FROM (
            SELECT hotkey, netuid, side, agreement_id, sum(take_rao) AS take FROM ledger_namedtake
            WHERE period_id = period GROUP BY 1, 2, 3, 4
        ) named LEFT JOIN (
            SELECT y.hotkey, y.netuid, y.side, t.agreement_id, sum(t.take_rao) AS take
            FROM ledger_partnertake t JOIN chain_yield y ON y.id = t.source_id
            WHERE t.period_id = period GROUP BY 1, 2, 3, 4
        ) parts USING (hotkey, netuid, side, agreement_id)
        WHERE named.take IS DISTINCT FROM parts.take
    ) THEN
        PERFORM ledger_broken('named_takes_add_up', format(
            'the wallets of an agreement in period %s do not add up to its part of the take', closed.key));
    END IF;
    IF EXISTS (
        SELECT FROM ledger_commissionline l WHERE l.period_id = period AND l.wallet_address <> '' AND NOT EXISTS (
            SELECT FROM ledger_namedtake n WHERE n.hotkey = l.hotkey AND n.netuid = l.netuid AND n.side = l.side
                AND n.agreement_id = l.agreement_id AND n.wallet_address = l.wallet_address AND n.period_id <= period)
    ) THEN
        PERFORM ledger_broken('named_line_was_earned', format(
            'a line of period %s names a wallet that earned nothing under its agreement', closed.key));
    END IF;
END $$;
"""
WITH_WINNERS = "\n        PERFORM ledger_check_winners(NEW.key);"
WITH_WALLETS = WITH_WINNERS + "\n        PERFORM ledger_check_wallets(NEW.key);"


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0011_memo_counts_on'),
        ('partners', '0017_lines_by_wallet'),
    ]

    operations = [
        migrations.CreateModel(
            name='NamedTake',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hotkey', models.CharField(max_length=48)),
                ('netuid', models.PositiveIntegerField()),
                ('side', models.CharField(choices=[('ALPHA', 'Subnet alpha'), ('ROOT', 'Root TAO'), ('REWARDS', 'Inflation rewards'), ('EXEC_FEES', 'Block and priority fees'), ('MEV', 'MEV tips')], max_length=9)),
                ('wallet_address', models.CharField(max_length=48)),
                ('take_rao', chain.fields.RaoField()),
            ],
            options={
                'ordering': ['period', 'hotkey', 'netuid', 'side', 'agreement', 'wallet_address'],
            },
        ),
        migrations.AlterModelOptions(
            name='commissionline',
            options={'ordering': ['period', 'partner', 'hotkey', 'netuid', 'side', 'agreement', 'rate_bps', 'basis', 'wallet_address']},
        ),
        migrations.RemoveConstraint(
            model_name='commissionline',
            name='commission_line_once',
        ),
        migrations.AddField(
            model_name='commissionline',
            name='wallet_address',
            field=models.CharField(blank=True, db_default='', default='', help_text="Whose stake earned it, where the agreement's lines name wallets.", max_length=48),
        ),
        migrations.AddConstraint(
            model_name='commissionline',
            constraint=models.UniqueConstraint(fields=('period', 'agreement', 'hotkey', 'netuid', 'side', 'rate_bps', 'basis', 'wallet_address'), name='commission_line_once'),
        ),
        migrations.AddField(
            model_name='namedtake',
            name='agreement',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='partners.agreement'),
        ),
        migrations.AddField(
            model_name='namedtake',
            name='period',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='named_takes', to='ledger.period'),
        ),
        migrations.AddConstraint(
            model_name='namedtake',
            constraint=models.UniqueConstraint(fields=('agreement', 'wallet_address', 'hotkey', 'netuid', 'side', 'period'), name='named_take_once'),
        ),
        migrations.AddConstraint(
            model_name='namedtake',
            constraint=models.CheckConstraint(condition=models.Q(('take_rao__gt', 0), models.Q(('wallet_address', ''), _negated=True)), name='named_take_says_whose_and_how_much'),
        ),
        migrations.RunSQL(
            GUARDS + RUN_CHECK % WITH_WALLETS,
            RUN_CHECK % WITH_WINNERS + "DROP FUNCTION ledger_check_wallets(bigint);",
        ),
    ]
