"""By which era a runtime is read, and who let it in on what evidence where the product did not know it."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('chain', '0006_tags'),
    ]

    operations = [
        migrations.AddField(
            model_name='runtime',
            name='admitted_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='runtime',
            name='admitted_by',
            field=models.CharField(blank=True, help_text='Who let it in.', max_length=150),
        ),
        migrations.AddField(
            model_name='runtime',
            name='assumed',
            field=models.BooleanField(default=False, help_text='Read by rules that were not proved for it.'),
        ),
        migrations.AddField(
            model_name='runtime',
            name='era',
            field=models.CharField(blank=True, help_text='The rules it is read by; see chain/runtimes/eras.py.', max_length=16),
        ),
        migrations.AddField(
            model_name='runtime',
            name='evidence',
            field=models.JSONField(blank=True, default=dict, help_text='What the self-test read: blocks, epochs, takes, positions.'),
        ),
        migrations.AlterField(
            model_name='runtime',
            name='first_block',
            field=models.BigIntegerField(help_text='First block of it that was read.'),
        ),
        migrations.AddConstraint(
            model_name='runtime',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('admitted_at', None), ('admitted_by', ''), ('assumed', False), ('evidence', {})), models.Q(('admitted_at__isnull', False), models.Q(('admitted_by', ''), _negated=True), models.Q(('era', ''), _negated=True), models.Q(models.Q(('assumed', True), ('evidence', {})), models.Q(('assumed', False), models.Q(('evidence', {}), _negated=True)), _connector='OR')), _connector='OR'), name='runtime_admitted_by_somebody'),
        ),
    ]
