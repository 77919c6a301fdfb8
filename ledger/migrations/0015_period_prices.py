"""The price in dollars at the end of a closed period, attached once."""

import django.db.models.deletion
from django.db import migrations, models

from chain.rights import grant

# Another token's price, or one of after the period, would be a wrong value that nobody can take back.
GUARDS = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_periodprice
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE FUNCTION ledger_period_price_fits() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM ledger_period d JOIN chain_fiatprice p ON p.id = NEW.price_id
        WHERE d.id = NEW.period_id AND p.base = 'TAO' AND p.quote = 'USD' AND p.at <= d.end_at
    ) THEN
        PERFORM ledger_broken('period_price_fits', format(
            'quote %s does not price period %s: it is not of TAO in dollars, or of after its end', NEW.price_id, NEW.period_id));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER quote_fits BEFORE INSERT ON ledger_periodprice
    FOR EACH ROW EXECUTE FUNCTION ledger_period_price_fits();
"""
VIEW = ("view_periodprice",)
RIGHTS = {role: VIEW for role in ("viewer", "operator", "approver", "administrator")}


def grant_rights(apps, schema_editor):
    grant(apps, "ledger", RIGHTS)


class Migration(migrations.Migration):

    dependencies = [
        ('chain', '0017_child_keys'),
        ('ledger', '0014_roll_ups'),
    ]

    operations = [
        migrations.CreateModel(
            name='PeriodPrice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('attached_at', models.DateTimeField()),
                ('period', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='usd', to='ledger.period')),
                ('price', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='chain.fiatprice')),
            ],
            options={
                'ordering': ['-period__start_at'],
            },
        ),
        migrations.RunSQL(
            GUARDS, "DROP TRIGGER quote_fits ON ledger_periodprice; DROP FUNCTION ledger_period_price_fits();"
        ),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
    ]
