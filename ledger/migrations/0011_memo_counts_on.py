"""A delegation is told apart by the remark that it was last moved under, too."""

import django.contrib.postgres.constraints
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0010_gross_basis'),
        ('partners', '0016_memo_counts_on'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='delegationwinner',
            options={'ordering': ['period', 'hotkey', 'netuid', 'side', 'coldkey', 'tag_hash', 'moved_hash', 'blocks']},
        ),
        migrations.RemoveConstraint(
            model_name='delegationwinner',
            name='delegation_won_once',
        ),
        migrations.AddField(
            model_name='delegationwinner',
            name='moved_hash',
            field=models.CharField(blank=True, db_default='', default='', help_text='Of the remark it was last moved under, or empty.', max_length=66),
        ),
        migrations.AddConstraint(
            model_name='delegationwinner',
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(expressions=[('hotkey', '='), ('netuid', '='), ('side', '='), ('coldkey', '='), ('tag_hash', '='), ('moved_hash', '='), ('blocks', '&&')], name='delegation_won_once'),
        ),
    ]
