"""An index in the order in which the admin lists wallets. The triggers of their history stay as they are."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('partners', "0008_what_if"),
    ]

    operations = [
        migrations.AddIndex(
            model_name='wallet',
            index=models.Index(fields=['partner', 'address'], name='wallet_in_order'),
        ),
    ]
