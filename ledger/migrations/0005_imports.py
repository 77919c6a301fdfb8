"""Rewards of other chains in the ledger: their components as sides, their coin credited at once like root TAO."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).resolve().parent.parent / "sql" / "0003_conservation.sql"


def check_period(credited_at_once: str) -> str:
    """Write the function of 0003 anew; what it calls realised is alpha that was sold and all take in a coin."""
    text = SQL.read_text()
    text = text[text.index("CREATE FUNCTION ledger_check_period(") :]
    text = text[: text.index("END $$;") + len("END $$;")].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
    before, after = text.split("asset = 'TAO'")
    return before + credited_at_once + after


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0004_groups'),
        ('chain', '0011_imports'),
    ]

    operations = [
        migrations.AlterField(
            model_name='account',
            name='currency',
            field=models.CharField(choices=[('TAO', 'TAO'), ('SOL', 'SOL')], default='TAO', max_length=12),
        ),
        migrations.AlterField(
            model_name='account',
            name='kind',
            field=models.CharField(choices=[('TAKE', 'Take realised'), ('OWN_SHARE', "The validator's own share"), ('PAYABLE', 'Payable to a partner'), ('IN_FLIGHT', 'Approved, not yet paid')], max_length=10),
        ),
        migrations.AlterField(
            model_name='commissionline',
            name='side',
            field=models.CharField(choices=[('ALPHA', 'Subnet alpha'), ('ROOT', 'Root TAO'), ('REWARDS', 'Inflation rewards'), ('EXEC_FEES', 'Block and priority fees'), ('MEV', 'MEV tips')], max_length=9),
        ),
        migrations.AlterField(
            model_name='delegatortake',
            name='side',
            field=models.CharField(choices=[('ALPHA', 'Subnet alpha'), ('ROOT', 'Root TAO'), ('REWARDS', 'Inflation rewards'), ('EXEC_FEES', 'Block and priority fees'), ('MEV', 'MEV tips')], max_length=9),
        ),
        migrations.RunSQL(check_period("asset <> 'ALPHA'"), check_period("asset = 'TAO'")),
    ]
