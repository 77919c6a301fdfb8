"""Wallets of the chain that the installation holds."""

import partners.models
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('partners', '0003_groups'),
        ('chain', '0011_imports'),
    ]

    operations = [
        migrations.AlterField(
            model_name='partner',
            name='payout_address',
            field=models.CharField(blank=True, help_text='Address that payouts go to. Empty: nothing is paid.', max_length=48, validators=[partners.models.validate_address]),
        ),
        migrations.AlterField(
            model_name='partnerevent',
            name='payout_address',
            field=models.CharField(blank=True, help_text='Address that payouts go to. Empty: nothing is paid.', max_length=48, validators=[partners.models.validate_address]),
        ),
        migrations.AlterField(
            model_name='wallet',
            name='chain',
            field=models.CharField(choices=[('BITTENSOR', 'Bittensor'), ('SOLANA', 'Solana')], default=partners.models.own_chain, max_length=12),
        ),
        migrations.AlterField(
            model_name='walletevent',
            name='chain',
            field=models.CharField(choices=[('BITTENSOR', 'Bittensor'), ('SOLANA', 'Solana')], default=partners.models.own_chain, max_length=12),
        ),
    ]
