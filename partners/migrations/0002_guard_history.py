"""History cannot be changed, removed or emptied, and one view lists all of it.

The triggers are plain SQL because those of pgtrigger can be skipped with its `ignore` setting. The tracked
tables refuse only TRUNCATE, which no row trigger sees and which would leave no history.
"""

from django.db import migrations

TABLES = ("partner", "agreement", "rule", "wallet")

FUNCTIONS = """
CREATE FUNCTION partners_refuse_history_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'history is append-only: % of % refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE FUNCTION partners_refuse_truncate() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of % refused: it would leave no history', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
"""
GUARDS = "".join(
    f"""
CREATE TRIGGER history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON partners_{table}event
    FOR EACH STATEMENT EXECUTE FUNCTION partners_refuse_history_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON partners_{table}
    FOR EACH STATEMENT EXECUTE FUNCTION partners_refuse_truncate();
"""
    for table in TABLES
)
UNGUARD = "".join(
    f"DROP TRIGGER history_append_only ON partners_{table}event; DROP TRIGGER no_truncate ON partners_{table};"
    for table in TABLES
)
# The triggers that write history look their tables up by name alone; a temporary table of that name would be found first.
PINNED = """
DO $$
DECLARE writer regprocedure;
BEGIN
    FOR writer IN
        SELECT DISTINCT t.tgfoid::regprocedure FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relname IN ('partners_partner', 'partners_agreement', 'partners_rule', 'partners_wallet')
            AND t.tgname LIKE 'pgtrigger%'
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, public, pg_temp', writer);
    END LOOP;
END $$;
"""


def _select(kind: str, partner: str, name: str, joins: str = "") -> str:
    return f"""
    SELECT '{kind}-' || e.pgh_id AS id, '{kind.upper()}' AS kind, e.pgh_id::bigint AS event_id,
        e.pgh_obj_id AS object_id, {partner} AS partner_id, e.pgh_created_at AS at, e.pgh_label AS what,
        {name} AS object_name, coalesce(e.pgh_context ->> 'user', '') AS user_id,
        coalesce(e.pgh_context ->> 'username', '') AS username,
        coalesce(e.pgh_context ->> 'reason', '') AS reason,
        to_jsonb(e) - '{{pgh_id,pgh_created_at,pgh_label,pgh_obj_id,pgh_context,pgh_context_id}}'::text[]
            AS values
    FROM partners_{kind}event e {joins}"""


VIEW = "CREATE VIEW partners_change AS" + " UNION ALL ".join(
    (
        _select("partner", "e.id", "e.name"),
        _select(
            "agreement",
            "e.partner_id",
            "coalesce(p.name, '') || ', ' || trim_scale(e.rate_bps / 100.0) || ' %'",
            "LEFT JOIN partners_partner p ON p.id = e.partner_id",
        ),
        _select(
            "rule",
            "a.partner_id",
            "coalesce(p.name, '') || ', ' || lower(e.kind) || ' rule'",
            "LEFT JOIN partners_agreement a ON a.id = e.agreement_id"
            " LEFT JOIN partners_partner p ON p.id = a.partner_id",
        ),
        _select("wallet", "e.partner_id", "e.address"),
    )
)


class Migration(migrations.Migration):
    dependencies = [("partners", "0001_initial")]

    operations = [
        migrations.RunSQL(
            FUNCTIONS + GUARDS + PINNED,
            UNGUARD + "DROP FUNCTION partners_refuse_history_change(); DROP FUNCTION partners_refuse_truncate();",
        ),
        migrations.RunSQL(VIEW, "DROP VIEW partners_change"),
    ]
