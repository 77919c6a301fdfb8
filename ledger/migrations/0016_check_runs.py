"""What the checks of the ledger found: kept, so that a difference keeps days from closing."""

import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from chain.rights import grant

GUARD = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_checkrun
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
"""
RIGHTS = {role: ("view_checkrun",) for role in ("viewer", "operator", "approver", "administrator")}


def grant_rights(apps, schema_editor):
    grant(apps, "ledger", RIGHTS)


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0015_period_prices'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='CheckRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('check_name', models.CharField(choices=[('LEDGER', 'Whole ledger'), ('ATTRIBUTION', 'Attributions'), ('CONVERSIONS', 'Conversions')], max_length=12, verbose_name='check')),
                ('blocks', django.contrib.postgres.fields.ranges.BigIntegerRangeField(help_text='What was looked at. Empty: everything.', null=True)),
                ('started_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField()),
                ('counts', models.JSONField(help_text='How many of each were looked at.')),
                ('difference_count', models.PositiveIntegerField()),
                ('differences', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), help_text='The first of them.', size=None)),
                ('run_by', models.ForeignKey(help_text='Empty: the scheduler.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'constraints': [models.CheckConstraint(condition=models.Q(('finished_at__gte', models.F('started_at'))), name='check_run_ends_after_it_starts'), models.CheckConstraint(condition=models.Q(models.Q(('difference_count', 0), ('differences__len', 0)), models.Q(('difference_count__gte', models.F('differences__len')), ('differences__len__gt', 0)), _connector='OR'), name='check_run_names_its_differences')],
            },
        ),
        migrations.RunSQL(GUARD, migrations.RunSQL.noop),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
    ]
