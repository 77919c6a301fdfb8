"""Whatever tells what the chain said, and what was done to read it, stays as it was written.

Blocks, stake events and the network never change. A position and the range in which a key is ours end once. Of the rest
only those columns change that services change, and no row is removed. The conditions stand in the triggers, not in the
function, so an allowed change costs a comparison and no call.

Who wants to change these rows in a migration drops the triggers first and makes them again.
"""

from django.db import migrations

ANEW = "it stays as it was stored; read the chain anew into another RAKEBACK_HOME or database"
FROZEN = {
    "block": ANEW,
    "stakeevent": ANEW,
    "network": "a database holds one chain for good; another one needs another RAKEBACK_HOME or database",
}


def _differ(columns: str) -> str:
    old, new = (", ".join(f"{row}.{column}" for column in columns.split()) for row in ("OLD", "NEW"))
    return f"ROW({old}) IS DISTINCT FROM ROW({new})"


def _ends_once(columns: str) -> str:
    """True unless a range without an end gets one, later than its start, and nothing else changes."""
    return f"""{_differ(columns)} OR NOT upper_inf(OLD.blocks) OR upper_inf(NEW.blocks) OR isempty(NEW.blocks)
        OR lower(OLD.blocks) IS DISTINCT FROM lower(NEW.blocks)"""


# By table: the rule, which updates it refuses, and what to do instead.
PARTLY = {
    "position": (
        "position_ends_once",
        _ends_once("id hotkey netuid coldkey share share_exponent"),
        "a position only ends, once; what is held since is a new row",
    ),
    "followedhotkey": (
        "followed_hotkey_ends_once",
        _ends_once("id hotkey_id netuid"),
        "the time in which a key is ours only ends, once; what comes later is a new row",
    ),
    "hotkey": (
        "hotkey_keeps_all_but_label",
        _differ("id address first_block swapped_from_id"),
        "only its label changes; another set of hotkeys needs another RAKEBACK_HOME or database",
    ),
    "ingestrun": (
        "ingest_run_ends_once",
        f"{_differ('id source first_block started_at')} OR OLD.status <> 'RUNNING'",
        "only how far it came changes, until it ended; what is done since is a new run",
    ),
    "backfill": (
        "backfill_as_asked",
        f"""{_differ(
            "id first_block last_block hotkeys source parallel_max ahead_max lease_seconds asked_by_id asked_at"
        )} OR OLD.finished_at IS NOT NULL AND {_differ("state error runs_on finished_at run_id")}""",
        "only how it goes changes, until it ended; ask for another backfill",
    ),
    "backfillchunk": (
        "backfill_chunk_as_cut",
        f"{_differ('id backfill_id number blocks')} OR OLD.state IN ('STORED', 'CANCELLED')",
        "only how it goes changes, until it is stored or cancelled; ask for another backfill",
    ),
    "endpoint": (
        "endpoint_keeps_name",
        _differ("id name"),
        "only how the node does changes; a node of another name is a new row",
    ),
}

REFUSE = """
CREATE FUNCTION chain_refuse_edit() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: %', TG_OP, TG_TABLE_NAME, TG_ARGV[1]
        USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_ARGV[0], TABLE = TG_TABLE_NAME;
END $$;
"""
NEVER = "".join(
    f"""
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON chain_{table}
    FOR EACH ROW EXECUTE FUNCTION chain_refuse_edit('append_only', '{instead}');
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON chain_{table}
    FOR EACH STATEMENT EXECUTE FUNCTION chain_refuse_edit('append_only', '{instead}');
"""
    for table, instead in FROZEN.items()
)
ONLY = "".join(
    f"""
CREATE TRIGGER stays BEFORE UPDATE ON chain_{table}
    FOR EACH ROW WHEN ({refused}) EXECUTE FUNCTION chain_refuse_edit('{rule}', '{instead}');
CREATE TRIGGER stays_stored BEFORE DELETE ON chain_{table}
    FOR EACH ROW EXECUTE FUNCTION chain_refuse_edit('{rule}', '{instead}');
CREATE TRIGGER stays_truncate BEFORE TRUNCATE ON chain_{table}
    FOR EACH STATEMENT EXECUTE FUNCTION chain_refuse_edit('{rule}', '{instead}');
"""
    for table, (rule, refused, instead) in PARTLY.items()
)

# What blocks were read by cannot change under them. Runtimes stored before 0007 learn their era once.
RUNTIME = """
CREATE FUNCTION chain_runtime_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    instead text := 'its blocks were read by it and an admission is not taken back; admit it anew, or read the chain '
        'anew into another RAKEBACK_HOME or database';
BEGIN
    IF TG_OP = 'UPDATE'
        AND (NEW.spec_version, NEW.first_block) = (OLD.spec_version, OLD.first_block)
        AND (OLD.admitted_at IS NULL OR NEW.admitted_at IS NOT NULL)
        AND (OLD.admitted_at IS NULL OR OLD.assumed OR NOT NEW.assumed)
    THEN
        IF (NEW.metadata, NEW.metadata_sha256) = (OLD.metadata, OLD.metadata_sha256)
            AND (NEW.era = OLD.era OR OLD.era = '')
        THEN
            RETURN NEW;
        END IF;
        IF NOT EXISTS (SELECT FROM public.chain_block WHERE runtime_id = OLD.spec_version) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% of runtime % is refused: %', TG_OP, OLD.spec_version, instead
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'runtime_stays_as_read', TABLE = TG_TABLE_NAME;
END $$;
CREATE TRIGGER stays BEFORE UPDATE OR DELETE ON chain_runtime
    FOR EACH ROW EXECUTE FUNCTION chain_runtime_stays();
CREATE TRIGGER stays_truncate BEFORE TRUNCATE ON chain_runtime
    FOR EACH STATEMENT EXECUTE FUNCTION chain_refuse_edit(
        'runtime_stays_as_read', 'its blocks were read by it; read the chain anew into another RAKEBACK_HOME or database');
"""


class Migration(migrations.Migration):
    dependencies = [("chain", "0013_same_node")]

    operations = [
        migrations.RunSQL(
            REFUSE + NEVER + ONLY + RUNTIME, "DROP FUNCTION chain_refuse_edit, chain_runtime_stays CASCADE"
        )
    ]
