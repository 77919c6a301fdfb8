"""Money rests on yields and conversions: they cannot be changed, deleted or truncated once written.

Rows are only ever inserted, so an upsert that changes nothing still passes.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION chain_refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is append-only, % is refused: what the chain said stays', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'append_only', TABLE = TG_TABLE_NAME;
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON chain_yield
    FOR EACH ROW EXECUTE FUNCTION chain_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON chain_yield
    FOR EACH STATEMENT EXECUTE FUNCTION chain_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON chain_conversion
    FOR EACH ROW EXECUTE FUNCTION chain_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON chain_conversion
    FOR EACH STATEMENT EXECUTE FUNCTION chain_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("chain", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, "DROP FUNCTION chain_refuse_change CASCADE")]
