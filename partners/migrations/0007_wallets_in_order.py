"""An index in the order in which the admin lists wallets. The triggers of their history stay as they are."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('partners', '0006_rules_of_every_kind'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='wallet',
            index=models.Index(fields=['partner', 'address'], name='wallet_in_order'),
        ),
    ]
