"""Every row of the history becomes a link in a chain of hashes, by a trigger, in the transaction that writes it.

What was written before is sealed in the order of its time. Sessions differ in how they print times and ranges, so the
function fixes both; `partners.sealing` prints them the same way.
"""

from django.db import migrations, models

TABLES = ("partner", "agreement", "rule", "wallet")
# Whoever writes history waits for whoever does: one chain has one end.
LOCK = 7_201_004

SEAL = f"""
CREATE FUNCTION partners_seal(kind text, event_id bigint, content jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD' AS $$
DECLARE
    last_number bigint;
    last_hash bytea;
    digest bytea := sha256(convert_to(content::text, 'UTF8'));
BEGIN
    PERFORM pg_advisory_xact_lock({LOCK});
    SELECT s.number, s.hash INTO last_number, last_hash FROM public.partners_seal s ORDER BY s.number DESC LIMIT 1;
    last_number := coalesce(last_number, 0) + 1;
    INSERT INTO public.partners_seal (number, kind, event_id, columns, digest, hash) VALUES (
        last_number, kind, event_id,
        (SELECT string_agg(name, ',' ORDER BY name) FROM jsonb_object_keys(content) AS name),
        digest,
        sha256(coalesce(last_hash, '') || int8send(last_number) || convert_to(kind, 'UTF8') || int8send(event_id) || digest)
    );
END $$;
CREATE FUNCTION partners_seal_row() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD' AS $$
BEGIN
    PERFORM public.partners_seal(TG_ARGV[0], NEW.pgh_id, to_jsonb(NEW));
    RETURN NULL;
END $$;
CREATE TRIGGER history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON partners_seal
    FOR EACH STATEMENT EXECUTE FUNCTION partners_refuse_history_change();
"""
ROWS = "".join(
    f"""
CREATE TRIGGER history_sealed AFTER INSERT ON partners_{table}event
    FOR EACH ROW EXECUTE FUNCTION partners_seal_row('{table.upper()}');
"""
    for table in TABLES
)
_WRITTEN = " UNION ALL ".join(
    f"SELECT '{table.upper()}' AS kind, e.pgh_id AS event_id, e.pgh_created_at AS at, to_jsonb(e) AS content "
    f"FROM partners_{table}event e"
    for table in TABLES
)
BEFORE = f"""
DO $$
DECLARE written record;
BEGIN
    SET LOCAL timezone = 'UTC';
    SET LOCAL datestyle = 'ISO, YMD';
    FOR written IN SELECT * FROM ({_WRITTEN}) AS w ORDER BY at, kind, event_id LOOP
        PERFORM partners_seal(written.kind, written.event_id, written.content);
    END LOOP;
END $$;
"""
UNDO = (
    "".join(f"DROP TRIGGER history_sealed ON partners_{table}event;" for table in TABLES)
    + "DROP TRIGGER history_append_only ON partners_seal;"
    "DROP FUNCTION partners_seal_row(); DROP FUNCTION partners_seal(text, bigint, jsonb);"
)


class Migration(migrations.Migration):
    dependencies = [("partners", "0004_imports")]

    operations = [
        migrations.CreateModel(
            name="Seal",
            fields=[
                (
                    "number",
                    models.BigIntegerField(
                        help_text="From 1, without holes.", primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=9)),
                ("event_id", models.BigIntegerField()),
                ("columns", models.TextField(help_text="Names, separated by commas.")),
                ("digest", models.BinaryField()),
                ("hash", models.BinaryField()),
            ],
            options={
                "ordering": ["number"],
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("kind", "event_id"), name="seal_once"),
                    models.CheckConstraint(condition=models.Q(("number__gt", 0)), name="seal_from_one"),
                ],
            },
        ),
        migrations.RunSQL(SEAL + ROWS + BEFORE, UNDO),
    ]
