"""The history is written by the triggers that follow a change, and by nobody else: a row of one's own would be sealed as true."""

from django.db import migrations

TABLES = ("partner", "agreement", "rule", "wallet", "payoutaddress")

FORWARD = """
CREATE FUNCTION partners_refuse_forgery() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is written by triggers only', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'history_by_triggers', TABLE = TG_TABLE_NAME;
END $$;
""" + "".join(
    f"""
CREATE TRIGGER by_triggers_only BEFORE INSERT ON partners_{table}event
    FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION partners_refuse_forgery();
"""
    for table in TABLES
)
BACKWARD = (
    "".join(f"DROP TRIGGER by_triggers_only ON partners_{table}event;" for table in TABLES)
    + "DROP FUNCTION partners_refuse_forgery();"
)


class Migration(migrations.Migration):
    dependencies = [("partners", "0014_readable_texts")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
