"""Why stake changed, also where no stake event says so; one event may change several positions."""


import chain.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('chain', '0004_eras'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='stakeevent',
            options={'ordering': ['-block_id', 'event_index', 'hotkey', 'netuid', 'coldkey', 'added']},
        ),
        migrations.RemoveConstraint(
            model_name='stakeevent',
            name='stake_event_once',
        ),
        migrations.AddField(
            model_name='stakeevent',
            name='cause',
            field=models.CharField(blank=True, choices=[('RECYCLED', 'Recycled'), ('BURNED', 'Burned'), ('ALPHA_FEE', 'Transaction fee paid in alpha'), ('NOT_RESTAKED', 'Move too small to be staked again'), ('ORDER', 'Limit order'), ('LEASE', 'Lease payout'), ('INCENTIVE', 'Miner incentive staked by itself'), ('ROOT_CLAIM', 'Root dividends claimed'), ('HOTKEY_SWAP', 'Hotkey swapped'), ('COLDKEY_SWAP', 'Coldkey swapped'), ('DISSOLVED', 'Subnet dissolved'), ('REGISTRATION', 'Subnet registered'), ('LIQUIDITY', 'Liquidity position'), ('DUST', 'Dust removed by the chain'), ('MIGRATION', 'Changed by a runtime upgrade'), ('UNEXPLAINED', 'Nothing on the chain says why')], help_text='Empty where the kind says what happened.', max_length=12),
        ),
        migrations.AddField(
            model_name='stakeevent',
            name='derived',
            field=models.BooleanField(default=False, help_text='The amount is what the value changed by, not what an event says.'),
        ),
        migrations.AlterField(
            model_name='stakeevent',
            name='alpha_rao',
            field=chain.fields.RaoField(help_text='All that came to or left the position, a fee in alpha included.'),
        ),
        migrations.AlterField(
            model_name='stakeevent',
            name='event_index',
            field=models.PositiveIntegerField(help_text="The event that says so; one more than the block's last event where none does."),
        ),
        migrations.AlterField(
            model_name='stakeevent',
            name='fee_rao',
            field=chain.fields.RaoField(help_text='Empty where the chain names no fee, as before runtime 257.', null=True),
        ),
        migrations.AlterField(
            model_name='stakeevent',
            name='tao_rao',
            field=chain.fields.RaoField(help_text='Empty where the chain names no TAO.', null=True),
        ),
        migrations.AddConstraint(
            model_name='stakeevent',
            constraint=models.UniqueConstraint(fields=('block', 'event_index', 'hotkey', 'netuid', 'coldkey', 'added'), name='stake_event_once'),
        ),
        migrations.AddConstraint(
            model_name='stakeevent',
            constraint=models.CheckConstraint(condition=models.Q(('cause__in', ['', 'RECYCLED', 'BURNED', 'ALPHA_FEE', 'NOT_RESTAKED', 'ORDER', 'LEASE', 'INCENTIVE', 'ROOT_CLAIM', 'HOTKEY_SWAP', 'COLDKEY_SWAP', 'DISSOLVED', 'REGISTRATION', 'LIQUIDITY', 'DUST', 'MIGRATION', 'UNEXPLAINED'])), name='stake_event_cause_known'),
        ),
        migrations.AddConstraint(
            model_name='stakeevent',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('derived', True), models.Q(('cause', ''), _negated=True)), models.Q(('derived', False), ('tao_rao__isnull', False)), _connector='OR'), name='stake_event_derived_has_cause'),
        ),
    ]
