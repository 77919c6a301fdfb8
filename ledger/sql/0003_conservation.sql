-- Sums that must hold when a transaction commits. A deferred trigger per row would add up everything once per row,
-- which is quadratic; instead each statement that touches an entry or a period notes it here once, and the note's
-- own deferred trigger checks it once, set-based. Only triggers touch the notes: one that somebody left there by hand
-- would stand for a check that never comes.

CREATE UNLOGGED TABLE ledger_due_check (kind text NOT NULL, key bigint NOT NULL, PRIMARY KEY (kind, key));

CREATE FUNCTION ledger_refuse_note() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    -- This function itself runs at depth 1 for a person's statement, deeper for a trigger's.
    IF pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'ledger_due_check is written by triggers only'
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'due_check_by_triggers', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER by_triggers_only BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ledger_due_check
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_note();

CREATE FUNCTION ledger_broken(rule text, message text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '%', message USING ERRCODE = 'check_violation', CONSTRAINT = rule;
END $$;

-- L1 and L6: two legs or more, zero in each currency; a reversal takes back exactly what it reverses.
CREATE FUNCTION ledger_check_entry(entry bigint) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE header ledger_entry;
BEGIN
    SELECT * INTO header FROM ledger_entry WHERE id = entry;
    IF (SELECT count(*) FROM ledger_posting WHERE entry_id = entry) < 2 THEN
        PERFORM ledger_broken('entry_balanced', format('entry %s has fewer than two legs', header.key));
    END IF;
    IF EXISTS (
        SELECT FROM ledger_posting p JOIN ledger_account a ON a.id = p.account_id
        WHERE p.entry_id = entry GROUP BY a.currency HAVING sum(p.amount_rao) <> 0
    ) THEN
        PERFORM ledger_broken('entry_balanced', format('the legs of entry %s do not add up to zero', header.key));
    END IF;
    IF header.reverses_id IS NOT NULL AND EXISTS (
        SELECT FROM (SELECT * FROM ledger_posting WHERE entry_id = entry) mine
        FULL JOIN (SELECT * FROM ledger_posting WHERE entry_id = header.reverses_id) theirs USING (account_id)
        WHERE mine.amount_rao IS DISTINCT FROM -theirs.amount_rao
    ) THEN
        PERFORM ledger_broken('entry_reverses_exactly',
            format('entry %s does not take back exactly what it reverses', header.key));
    END IF;
END $$;

-- LE1, LE4, LE8, A1: a period's rows conserve its yields, its conversions and its lines.
CREATE FUNCTION ledger_check_period(period bigint) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE closed ledger_period;
DECLARE wrong record;
BEGIN
    SELECT * INTO closed FROM ledger_period WHERE id = period;

    SELECT y.block_id, y.netuid, y.side INTO wrong
    FROM chain_yield y LEFT JOIN ledger_partnertake p ON p.source_id = y.id
    WHERE y.block_id >= lower(closed.blocks) AND y.block_id < upper(closed.blocks)
    GROUP BY y.id HAVING y.take_rao <> coalesce(sum(p.take_rao), 0) OR bool_or(p.period_id <> period) LIMIT 1;
    IF FOUND THEN
        PERFORM ledger_broken('partner_take_conserves', format(
            'partner takes of block %s netuid %s %s do not add up to its take', wrong.block_id, wrong.netuid, wrong.side));
    END IF;

    IF EXISTS (
        SELECT FROM ledger_partnertake p JOIN chain_yield y ON y.id = p.source_id
        LEFT JOIN partners_agreement g ON g.id = p.agreement_id
        WHERE p.period_id = period
            AND (NOT closed.blocks @> y.block_id OR g.partner_id IS DISTINCT FROM p.partner_id)
    ) THEN
        PERFORM ledger_broken('partner_take_fits', format(
            'a partner take of period %s is of another period''s block or another partner''s agreement', closed.key));
    END IF;

    IF EXISTS (
        SELECT FROM (
            SELECT hotkey, netuid, side, sum(take_rao) AS take FROM chain_yield
            WHERE block_id >= lower(closed.blocks) AND block_id < upper(closed.blocks) GROUP BY 1, 2, 3
        ) earned FULL JOIN (
            SELECT hotkey, netuid, side, sum(take_rao) AS take FROM ledger_delegatortake
            WHERE period_id = period GROUP BY 1, 2, 3
        ) given USING (hotkey, netuid, side)
        WHERE coalesce(earned.take, 0) <> coalesce(given.take, 0)
    ) THEN
        PERFORM ledger_broken('delegator_take_conserves', format(
            'delegator takes of period %s do not add up to the take of its yields', closed.key));
    END IF;

    IF EXISTS (
        SELECT FROM ledger_conversionallocation a
        JOIN chain_yield y ON y.id = a.source_id JOIN chain_conversion c ON c.id = a.conversion_id
        WHERE a.period_id = period AND NOT (
            closed.blocks @> c.block_id AND y.block_id <= c.block_id AND y.asset = 'ALPHA'
            AND y.hotkey = c.hotkey AND y.netuid = c.netuid)
    ) THEN
        PERFORM ledger_broken('allocation_fits', format(
            'an allocation of period %s joins a conversion to take that it cannot have sold', closed.key));
    END IF;

    IF EXISTS (
        SELECT FROM ledger_conversionallocation a JOIN chain_yield y ON y.id = a.source_id
        WHERE a.source_id IN (SELECT source_id FROM ledger_conversionallocation WHERE period_id = period)
        GROUP BY y.id HAVING sum(a.alpha_rao) > y.take_rao
    ) THEN
        PERFORM ledger_broken('allocation_within_take', format(
            'the conversions of period %s sell more of a yield than its take', closed.key));
    END IF;

    IF EXISTS (
        SELECT FROM ledger_conversionallocation a JOIN chain_conversion c ON c.id = a.conversion_id
        WHERE a.period_id = period
        GROUP BY c.id HAVING sum(a.alpha_rao) > c.alpha_rao OR sum(a.tao_rao) > c.tao_rao
    ) THEN
        PERFORM ledger_broken('allocation_within_conversion', format(
            'a conversion of period %s is allocated beyond what it sold or brought', closed.key));
    END IF;

    IF EXISTS (
        SELECT FROM ledger_commissionline l JOIN partners_agreement g ON g.id = l.agreement_id
        WHERE l.period_id = period AND g.partner_id <> l.partner_id
    ) THEN
        PERFORM ledger_broken('commission_line_fits', format(
            'a line of period %s names another partner''s agreement', closed.key));
    END IF;

    IF EXISTS (
        SELECT FROM (
            SELECT partner_id, sum(commission_rao) AS owed FROM ledger_commissionline
            WHERE period_id = period GROUP BY 1
        ) lines FULL JOIN (
            SELECT a.partner_id, -sum(p.amount_rao) AS owed FROM ledger_entry e
            JOIN ledger_posting p ON p.entry_id = e.id JOIN ledger_account a ON a.id = p.account_id
            WHERE e.period_id = period AND a.kind = 'PAYABLE' GROUP BY 1
        ) posted USING (partner_id)
        WHERE coalesce(lines.owed, 0) <> coalesce(posted.owed, 0)
    ) THEN
        PERFORM ledger_broken('commission_lines_are_posted', format(
            'the lines of period %s and the payables of its entry differ', closed.key));
    END IF;

    IF (
        SELECT coalesce(sum(take_rao), 0) FROM chain_yield
        WHERE block_id >= lower(closed.blocks) AND block_id < upper(closed.blocks) AND asset = 'TAO'
    ) + (
        SELECT coalesce(sum(tao_rao), 0) FROM ledger_conversionallocation WHERE period_id = period
    ) <> (
        SELECT coalesce(sum(p.amount_rao), 0) FROM ledger_entry e
        JOIN ledger_posting p ON p.entry_id = e.id JOIN ledger_account a ON a.id = p.account_id
        WHERE e.period_id = period AND a.kind = 'TAKE'
    ) THEN
        PERFORM ledger_broken('realised_take_is_posted', format(
            'the entry of period %s does not post the take that was realised in it', closed.key));
    END IF;
END $$;

CREATE FUNCTION ledger_run_check() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    DELETE FROM ledger_due_check WHERE kind = NEW.kind AND key = NEW.key;
    IF NEW.kind = 'entry' THEN
        PERFORM ledger_check_entry(NEW.key);
    ELSE
        PERFORM ledger_check_period(NEW.key);
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER run_check AFTER INSERT ON ledger_due_check
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_run_check();

CREATE FUNCTION ledger_note_entry() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO ledger_due_check SELECT DISTINCT 'entry', id FROM new_rows ON CONFLICT DO NOTHING;
    INSERT INTO ledger_due_check SELECT DISTINCT 'period', period_id FROM new_rows WHERE period_id IS NOT NULL
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION ledger_note_legs() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO ledger_due_check SELECT DISTINCT 'entry', entry_id FROM new_rows ON CONFLICT DO NOTHING;
    INSERT INTO ledger_due_check SELECT DISTINCT 'period', e.period_id
        FROM new_rows JOIN ledger_entry e ON e.id = entry_id WHERE e.period_id IS NOT NULL ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION ledger_note_period() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO ledger_due_check SELECT 'period', id FROM new_rows ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION ledger_note_rows() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO ledger_due_check SELECT DISTINCT 'period', period_id FROM new_rows ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER to_check AFTER INSERT ON ledger_entry REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_note_entry();
CREATE TRIGGER to_check AFTER INSERT ON ledger_posting REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_note_legs();
CREATE TRIGGER to_check AFTER INSERT ON ledger_period REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_note_period();
CREATE TRIGGER to_check AFTER INSERT ON ledger_partnertake REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_note_rows();
CREATE TRIGGER to_check AFTER INSERT ON ledger_delegatortake REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_note_rows();
CREATE TRIGGER to_check AFTER INSERT ON ledger_conversionallocation REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_note_rows();
CREATE TRIGGER to_check AFTER INSERT ON ledger_commissionline REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_note_rows();

-- LE1: an attribution gives away the yield's take, no more, no less.
CREATE FUNCTION ledger_check_attribution() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_rows n LEFT JOIN chain_yield y ON y.id = n.source_id
        WHERE y.take_rao IS DISTINCT FROM n.take_rao
    ) THEN
        PERFORM ledger_broken('attribution_equals_take', 'an attribution differs from the take of its yield');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER equals_take AFTER INSERT ON ledger_attribution REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_attribution();

-- F21: rounded down, in numeric because base times rate can exceed 64 bits.
ALTER TABLE ledger_commissionline ADD CONSTRAINT commission_is_rate_of_base
    CHECK (commission_rao = div(base_rao::numeric * rate_bps, 10000));

-- L5: no more leaves an account of debt than was owed. Accounts are locked in order of id, so that rivals queue
-- instead of deadlocking, and the sum is read after the lock. At a stricter isolation level the sum would come
-- from an old snapshot and rivals would not see each other; that is refused.
CREATE FUNCTION ledger_check_floor() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE debited bigint[];
DECLARE short record;
BEGIN
    SELECT array_agg(DISTINCT a.id) INTO debited FROM new_rows n JOIN ledger_account a ON a.id = n.account_id
    WHERE n.amount_rao > 0 AND a.kind IN ('PAYABLE', 'IN_FLIGHT');
    IF debited IS NULL THEN
        RETURN NULL;
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'payables are debited at isolation level read committed only'
            USING ERRCODE = 'feature_not_supported';
    END IF;
    PERFORM FROM ledger_account WHERE id = ANY (debited) ORDER BY id FOR NO KEY UPDATE;
    SELECT a.kind, sum(p.amount_rao) AS over INTO short
    FROM ledger_posting p JOIN ledger_account a ON a.id = p.account_id
    WHERE a.id = ANY (debited) GROUP BY a.id HAVING sum(p.amount_rao) > 0 LIMIT 1;
    IF FOUND THEN
        PERFORM ledger_broken('debt_not_negative', format('account %s would be overdrawn by %s rao', short.kind, short.over));
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER floor AFTER INSERT ON ledger_posting REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_floor();
