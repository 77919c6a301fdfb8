-- L3: what the ledger wrote stays. Rows cannot be changed, deleted or truncated; a correction is a new row.
-- Statement-level, so that even a change of no row is refused, and TRUNCATE is too.

CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is append-only, % is refused: a correction is a new row', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'append_only', TABLE = TG_TABLE_NAME;
END $$;

DO $$
DECLARE guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY[
        'ledger_attribution', 'ledger_period', 'ledger_partnertake', 'ledger_delegatortake',
        'ledger_conversionallocation', 'ledger_commissionline', 'ledger_account', 'ledger_entry', 'ledger_posting'
    ] LOOP
        EXECUTE format(
            'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I'
            ' FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()', guarded);
    END LOOP;
END $$;

-- L2: an entry and a period are sealed when their transaction commits. The header remembers its transaction,
-- whatever the writer claims, and its rows must come from the same one.

ALTER TABLE ledger_entry ADD COLUMN written_in xid8 NOT NULL DEFAULT pg_current_xact_id();
ALTER TABLE ledger_period ADD COLUMN written_in xid8 NOT NULL DEFAULT pg_current_xact_id();

CREATE FUNCTION ledger_remember_transaction() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    NEW.written_in := pg_current_xact_id();
    RETURN NEW;
END $$;

CREATE TRIGGER remember_transaction BEFORE INSERT ON ledger_entry
    FOR EACH ROW EXECUTE FUNCTION ledger_remember_transaction();
CREATE TRIGGER remember_transaction BEFORE INSERT ON ledger_period
    FOR EACH ROW EXECUTE FUNCTION ledger_remember_transaction();

-- The header must be visible and ours: foreign keys are deferred, so "no header yet" would let a leg slip into an
-- entry that another transaction commits in between.
CREATE FUNCTION ledger_refuse_late_leg() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_rows WHERE NOT EXISTS (
            SELECT FROM ledger_entry e WHERE e.id = new_rows.entry_id AND e.written_in = pg_current_xact_id())
    ) THEN
        RAISE EXCEPTION 'legs are written together with their entry: post a new entry instead'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'entry_sealed', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION ledger_refuse_late_row() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_rows WHERE period_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM ledger_period p WHERE p.id = new_rows.period_id AND p.written_in = pg_current_xact_id())
    ) THEN
        RAISE EXCEPTION '% rows are written while their period closes; it is closed', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'period_sealed', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER sealed AFTER INSERT ON ledger_posting REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_late_leg();
CREATE TRIGGER sealed AFTER INSERT ON ledger_partnertake REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_late_row();
CREATE TRIGGER sealed AFTER INSERT ON ledger_delegatortake REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_late_row();
CREATE TRIGGER sealed AFTER INSERT ON ledger_conversionallocation REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_late_row();
CREATE TRIGGER sealed AFTER INSERT ON ledger_commissionline REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_late_row();
CREATE TRIGGER sealed AFTER INSERT ON ledger_entry REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_late_row();

-- A closed period's facts are complete: no yield or conversion can appear in its blocks afterwards.

CREATE FUNCTION ledger_refuse_late_fact() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE closed record;
BEGIN
    SELECT p.key, n.block_id INTO closed
    FROM new_rows n JOIN ledger_period p ON p.blocks @> n.block_id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'block % belongs to the closed period %: % takes no more rows for it',
            closed.block_id, closed.key, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'period_sealed', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER period_sealed AFTER INSERT ON chain_yield REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_late_fact();
CREATE TRIGGER period_sealed AFTER INSERT ON chain_conversion REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_late_fact();
