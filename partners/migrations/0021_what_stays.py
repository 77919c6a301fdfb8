"""A wallet keeps its address, an agreement its partner, a rule its agreement, and each its number: another is another row."""

from django.db import migrations

KEPT = {
    "partners_wallet": ("id, address, chain", "a wallet keeps its address: end it and add the other one"),
    "partners_agreement": ("id, partner_id", "an agreement keeps its partner: end it and make another"),
    "partners_rule": ("id, agreement_id", "a rule keeps its agreement: switch it off and add it to the other"),
}

STAYS = """
CREATE FUNCTION partners_refuse_move() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'restrict_violation', CONSTRAINT = 'stays', TABLE = TG_TABLE_NAME;
END $$;
""" + "".join(
    f"CREATE TRIGGER stays BEFORE UPDATE ON {table} FOR EACH ROW"
    f" WHEN (ROW({', '.join(f'OLD.{one}' for one in columns.split(', '))})"
    f" IS DISTINCT FROM ROW({', '.join(f'NEW.{one}' for one in columns.split(', '))}))"
    f" EXECUTE FUNCTION partners_refuse_move('{text}');"
    for table, (columns, text) in KEPT.items()
)


class Migration(migrations.Migration):

    dependencies = [
        ("partners", "0020_wallets_end"),
    ]

    operations = [
        migrations.RunSQL(STAYS, "DROP FUNCTION partners_refuse_move CASCADE"),
    ]
