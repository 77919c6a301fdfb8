"""Attributions name the numbered rules by which they were made; those of before are by the first."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0012_lines_by_wallet'),
    ]

    operations = [
        migrations.AddField(
            model_name='attribution',
            name='ruleset',
            field=models.PositiveSmallIntegerField(db_default=1, help_text='The numbered rules by which it was split and hashed.'),
        ),
    ]
