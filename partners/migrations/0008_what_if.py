"""Changes tried on closed days, and templates of agreements."""

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from chain.rights import grant

WRITE = tuple(f"{verb}_agreementtemplate" for verb in ("add", "change", "delete"))
VIEW = ("view_whatif", "view_agreementtemplate")
RIGHTS = {
    "viewer": VIEW,
    "operator": (*VIEW, *WRITE),
    "approver": VIEW,
    "administrator": (*VIEW, *WRITE),
}
TEMPLATES = (
    {
        "name": "Named partner, 33 %",
        "description": "Paid a third of the take of the wallets on their list.",
        "rate_bps": 3300,
        "rule_kind": "WALLET",
    },
    {
        "name": "Wallet app, 50 %, new delegators",
        "description": "Paid half of the take of stake under the app's remark, of wallets that had none with you before.",
        "rate_bps": 5000,
        "new_delegators_only": True,
        "rule_kind": "MEMO",
    },
)


def grant_rights(apps, schema_editor):
    grant(apps, "partners", RIGHTS)
    for values in TEMPLATES:
        apps.get_model("partners", "AgreementTemplate").objects.get_or_create(name=values["name"], defaults=values)


class Migration(migrations.Migration):

    dependencies = [
        ('partners', '0007_volume_and_exclusions'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='AgreementTemplate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=80, unique=True)),
                ('description', models.CharField(blank=True, max_length=200)),
                ('rate_bps', models.PositiveIntegerField(validators=[django.core.validators.MaxValueValidator(10000)], verbose_name='rate')),
                ('minimum_payout_rao', models.BigIntegerField(default=0, validators=[django.core.validators.MinValueValidator(0)], verbose_name='minimum payout')),
                ('new_delegators_only', models.BooleanField(default=False)),
                ('rule_kind', models.CharField(choices=[('WALLET', "Exact wallet: the partner's wallet list"), ('MEMO', 'Remark: the text that an app leaves beside stake'), ('SUBNET', 'Subnet: all stake on it'), ('SIDE', 'Side: all stake that earns so'), ('ALL', 'All stake')], default='WALLET', max_length=8, verbose_name='finds delegators by')),
            ],
            options={
                'ordering': ['name'],
                'constraints': [models.CheckConstraint(condition=models.Q(('rate_bps__lte', 10000)), name='template_rate_at_most_whole', violation_error_message='The rate is at most 100 %.'), models.CheckConstraint(condition=models.Q(('minimum_payout_rao__gte', 0)), name='template_minimum_not_negative', violation_error_message='The minimum payout is not negative.')],
            },
        ),
        migrations.CreateModel(
            name='WhatIf',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('title', models.CharField(max_length=200)),
                ('change', models.JSONField()),
                ('names', models.JSONField(help_text='Names of the partners concerned, who may not be saved yet.')),
                ('form', models.JSONField()),
                ('first_day', models.DateField(help_text='Empty until it runs: the last closed day.', null=True)),
                ('last_day', models.DateField(null=True)),
                ('state', models.CharField(choices=[('WAITING', 'Waiting for a worker'), ('RUNNING', 'Running'), ('DONE', 'Done'), ('FAILED', 'Failed'), ('CANCELLED', 'Cancelled')], default='WAITING', max_length=9)),
                ('done', models.PositiveIntegerField(default=0)),
                ('total', models.PositiveIntegerField(default=0)),
                ('result', models.JSONField(default=dict)),
                ('error', models.TextField(blank=True)),
                ('asked_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(null=True)),
                ('asked_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'what if',
                'verbose_name_plural': 'what if',
                'ordering': ['-id'],
                'default_permissions': ('view',),
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('finished_at', None), ('state__in', ['WAITING', 'RUNNING'])), models.Q(('finished_at__isnull', False), ('state__in', ['DONE', 'FAILED', 'CANCELLED'])), _connector='OR'), name='what_if_ends_once'), models.CheckConstraint(condition=models.Q(('done__lte', models.F('total'))), name='what_if_done_within_total')],
            },
        ),
        migrations.RunPython(grant_rights, migrations.RunPython.noop),
    ]
