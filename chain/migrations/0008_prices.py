"""Pool prices by the runtime's rules, and quotes of TAO in fiat money.

Rows that are there are of runtimes that price by the square root; where the chain had none, it was stored as 0.
"""

import chain.fields
import django.db.models.deletion
from django.db import migrations, models

from chain.rights import grant

APPEND_ONLY = ("poolprice", "fiatprice", "pricefetch", "conversionprice")
TRIGGERS = "".join(
    f"""
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON chain_{table}
    FOR EACH ROW EXECUTE FUNCTION chain_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON chain_{table}
    FOR EACH STATEMENT EXECUTE FUNCTION chain_refuse_change();
"""
    for table in APPEND_ONLY
)
NO_TRIGGERS = "".join(
    f"DROP TRIGGER append_only ON chain_{table}; DROP TRIGGER append_only_truncate ON chain_{table};"
    for table in APPEND_ONLY
)
# A price that was not known yet at the block, or another token's, would be a wrong value that nobody can take back.
QUOTE_FITS = """
CREATE FUNCTION chain_conversion_price_fits() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.chain_conversion c
        JOIN public.chain_block b ON b.number = c.block_id
        JOIN public.chain_fiatprice p ON p.id = NEW.price_id
        WHERE c.id = NEW.conversion_id AND p.base = 'TAO' AND p.at <= b.timestamp
    ) THEN
        RAISE EXCEPTION 'quote % does not price conversion %: it is not of TAO, or of after its block',
            NEW.price_id, NEW.conversion_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'conversion_price_fits', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER quote_fits BEFORE INSERT ON chain_conversionprice
    FOR EACH ROW EXECUTE FUNCTION chain_conversion_price_fits();
"""
VIEW = ("view_fiatprice", "view_pricefetch", "view_conversionprice")
FETCH = (*VIEW, "fetch_fiatprice")
RIGHTS = {"viewer": VIEW, "operator": FETCH, "approver": VIEW, "administrator": FETCH}


def grant_rights(apps, schema_editor):
    grant(apps, "chain", RIGHTS)


class Migration(migrations.Migration):

    dependencies = [
        ('chain', '0007_runtime_admission'),
    ]

    operations = [
        migrations.CreateModel(
            name='ConversionPrice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('attached_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='FiatPrice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(max_length=20)),
                ('base', models.CharField(help_text="The token's code: TAO.", max_length=10)),
                ('quote', models.CharField(help_text="The currency's code: USD.", max_length=10)),
                ('price', models.DecimalField(decimal_places=18, max_digits=30)),
                ('at', models.DateTimeField(help_text='The moment the price is of.')),
                ('fetched_at', models.DateTimeField()),
                ('payload_sha256', models.CharField(help_text='SHA-256 of the answer it was read from.', max_length=64)),
            ],
            options={
                'verbose_name': 'price in dollars',
                'verbose_name_plural': 'prices in dollars',
                'ordering': ['-at', 'source'],
                'permissions': [('fetch_fiatprice', 'Can fetch prices from their sources')],
            },
        ),
        migrations.CreateModel(
            name='PriceFetch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(max_length=20)),
                ('base', models.CharField(max_length=10)),
                ('quote', models.CharField(max_length=10)),
                ('first_at', models.DateTimeField()),
                ('last_at', models.DateTimeField()),
                ('fetched_at', models.DateTimeField()),
                ('found_count', models.PositiveIntegerField(default=0)),
                ('stored_count', models.PositiveIntegerField(default=0)),
                ('differing_count', models.PositiveIntegerField(default=0, help_text='Quotes that differ from what the source said before; the first ones stay.')),
                ('error', models.TextField(blank=True)),
            ],
            options={
                'verbose_name_plural': 'price fetches',
                'ordering': ['-id'],
            },
        ),
        migrations.AddField(
            model_name='poolprice',
            name='pricing',
            field=models.CharField(choices=[('RESERVES', 'Ratio of the reserves'), ('SQRT_PRICE', 'Stored square-root price'), ('BALANCER', 'Weighted reserves')], default='SQRT_PRICE', max_length=10),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='poolprice',
            name='quote_weight',
            field=models.BigIntegerField(help_text='Weight of TAO in parts of 1e18; that of alpha is the rest.', null=True),
        ),
        migrations.AlterField(
            model_name='poolprice',
            name='sqrt_price',
            field=chain.fields.Uint128Field(help_text='Raw bits, U64F64; TAO per alpha is its square. Empty where the pool has none.', null=True),
        ),
        migrations.RunSQL(
            "UPDATE chain_poolprice SET sqrt_price = NULL WHERE sqrt_price = 0",
            "UPDATE chain_poolprice SET sqrt_price = 0 WHERE sqrt_price IS NULL",
        ),
        migrations.AddIndex(
            model_name='poolprice',
            index=models.Index(fields=['netuid', '-block'], name='pool_price_newest'),
        ),
        migrations.AddConstraint(
            model_name='poolprice',
            constraint=models.CheckConstraint(condition=models.Q(('tao_reserve_rao__gte', 0), ('alpha_reserve_rao__gte', 0)), name='pool_price_reserves_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='poolprice',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('pricing', 'RESERVES'), ('quote_weight', None), ('sqrt_price', None)), models.Q(models.Q(('sqrt_price', None), ('sqrt_price__gte', 0), _connector='OR'), ('pricing', 'SQRT_PRICE'), ('quote_weight', None)), models.Q(('pricing', 'BALANCER'), ('quote_weight__gt', 0), ('quote_weight__isnull', False), ('quote_weight__lt', 1000000000000000000), ('sqrt_price', None)), _connector='OR'), name='pool_price_columns_fit_pricing'),
        ),
        migrations.AddField(
            model_name='conversionprice',
            name='conversion',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='usd', to='chain.conversion'),
        ),
        migrations.AddIndex(
            model_name='fiatprice',
            index=models.Index(fields=['-at'], name='fiat_price_by_time'),
        ),
        migrations.AddConstraint(
            model_name='fiatprice',
            constraint=models.UniqueConstraint(fields=('source', 'base', 'quote', 'at'), name='fiat_price_once'),
        ),
        migrations.AddConstraint(
            model_name='fiatprice',
            constraint=models.CheckConstraint(condition=models.Q(('price__gt', 0)), name='fiat_price_positive'),
        ),
        migrations.AddConstraint(
            model_name='fiatprice',
            constraint=models.CheckConstraint(condition=models.Q(('at__lte', models.F('fetched_at'))), name='fiat_price_of_the_past'),
        ),
        migrations.AddConstraint(
            model_name='fiatprice',
            constraint=models.CheckConstraint(condition=models.Q(('base__regex', '^[A-Z0-9]{2,10}$'), ('quote__regex', '^[A-Z]{3,10}$'), models.Q(('base', models.F('quote')), _negated=True), models.Q(('source', ''), _negated=True)), name='fiat_price_names_its_pair'),
        ),
        migrations.AddField(
            model_name='conversionprice',
            name='price',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='chain.fiatprice'),
        ),
        migrations.AddIndex(
            model_name='pricefetch',
            index=models.Index(fields=['source', 'base', 'last_at'], name='price_fetch_by_range'),
        ),
        migrations.AddConstraint(
            model_name='pricefetch',
            constraint=models.CheckConstraint(condition=models.Q(('first_at__lte', models.F('last_at')), ('last_at__lte', models.F('fetched_at'))), name='price_fetch_range_valid'),
        ),
        migrations.AddConstraint(
            model_name='pricefetch',
            constraint=models.CheckConstraint(condition=models.Q(('error', ''), models.Q(('differing_count', 0), ('found_count', 0), ('stored_count', 0)), _connector='OR'), name='price_fetch_fails_whole'),
        ),
        migrations.RunSQL(TRIGGERS, NO_TRIGGERS),
        migrations.RunSQL(
            QUOTE_FITS,
            "DROP TRIGGER quote_fits ON chain_conversionprice; DROP FUNCTION chain_conversion_price_fits()",
        ),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
    ]
