"""Triggers that hold a batch still and let it move one way only, whoever writes: code, admin or SQL.

They are plain SQL on purpose: there is no switch in the application that turns them off.
"""

from django.db import migrations

# A row comes in as PROPOSED and undecided; afterwards only the decision is written, once per step.
BATCH = """
CREATE FUNCTION payments_batch_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    changed text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'PROPOSED' OR NEW.approved_by_id IS NOT NULL OR NEW.approved_at IS NOT NULL
            OR NEW.cancelled_by_id IS NOT NULL OR NEW.cancelled_at IS NOT NULL OR NEW.cancel_reason <> ''
        THEN
            RAISE EXCEPTION 'a batch starts as PROPOSED, without approver' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'batches are never removed: cancel them' USING ERRCODE = 'check_violation';
    END IF;

    IF (NEW.id, NEW.through_id, NEW.content_hash, NEW.payout_count, NEW.total_rao, NEW.proposed_at,
            NEW.proposed_by_id)
        IS DISTINCT FROM (OLD.id, OLD.through_id, OLD.content_hash, OLD.payout_count, OLD.total_rao,
            OLD.proposed_at, OLD.proposed_by_id)
    THEN
        RAISE EXCEPTION 'batch %: what was proposed, and by whom, cannot change', OLD.id
            USING ERRCODE = 'check_violation';
    END IF;
    IF (OLD.status, NEW.status) NOT IN
        (('PROPOSED', 'APPROVED'), ('PROPOSED', 'CANCELLED'), ('APPROVED', 'CANCELLED'))
    THEN
        RAISE EXCEPTION 'batch %: cannot go from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;

    IF NEW.status = 'APPROVED' THEN
        IF NEW.cancelled_by_id IS NOT NULL OR NEW.cancelled_at IS NOT NULL OR NEW.cancel_reason <> '' THEN
            RAISE EXCEPTION 'batch %: an approval cancels nothing', OLD.id USING ERRCODE = 'check_violation';
        END IF;
        SELECT string_agg(partner.slug, ', ' ORDER BY partner.slug) INTO changed
        FROM payments_payout payout JOIN partners_partner partner ON partner.id = payout.partner_id
        WHERE payout.batch_id = OLD.id
            AND (payout.address <> partner.payout_address OR partner.status <> 'ACTIVE');
        IF changed IS NOT NULL THEN
            RAISE EXCEPTION 'batch %: address or status changed since it was proposed: %', OLD.id, changed
                USING ERRCODE = 'check_violation';
        END IF;
    ELSE
        IF (NEW.approved_by_id, NEW.approved_at) IS DISTINCT FROM (OLD.approved_by_id, OLD.approved_at) THEN
            RAISE EXCEPTION 'batch %: cancelling leaves the approval as it was', OLD.id
                USING ERRCODE = 'check_violation';
        END IF;
        IF btrim(NEW.cancel_reason) = '' THEN
            RAISE EXCEPTION 'batch %: cancelling needs a reason', OLD.id USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER payments_batch_guard BEFORE INSERT OR UPDATE OR DELETE ON payments_batch
    FOR EACH ROW EXECUTE FUNCTION payments_batch_guard();
CREATE TRIGGER payments_batch_no_truncate BEFORE TRUNCATE ON payments_batch
    FOR EACH STATEMENT EXECUTE FUNCTION payments_batch_guard();
"""

# At commit a batch is what its head says, and what is approved is reserved in the ledger.
WHOLE = """
CREATE FUNCTION payments_batch_whole() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    batch payments_batch;
    payouts bigint;
    total numeric;
    reserved bigint;
    released bigint;
BEGIN
    SELECT * INTO batch FROM payments_batch WHERE id = NEW.id;
    SELECT count(*), coalesce(sum(payout.amount_rao), 0), count(reserve.id), count(release.id)
    INTO payouts, total, reserved, released
    FROM payments_payout payout
    LEFT JOIN ledger_entry reserve ON reserve.key = 'reserve:' || payout.id AND reserve.kind = 'RESERVE'
    LEFT JOIN ledger_entry release ON release.reverses_id = reserve.id AND release.kind = 'RELEASE'
    WHERE payout.batch_id = batch.id;
    IF payouts <> batch.payout_count OR total <> batch.total_rao THEN
        RAISE EXCEPTION 'batch %: says % payouts of % rao, has % of %',
            batch.id, batch.payout_count, batch.total_rao, payouts, total USING ERRCODE = 'check_violation';
    END IF;
    IF reserved <> (CASE WHEN batch.approved_by_id IS NULL THEN 0 ELSE payouts END)
        OR released <> (CASE WHEN batch.status = 'CANCELLED' THEN reserved ELSE 0 END)
    THEN
        RAISE EXCEPTION 'batch %: is %, but the ledger reserved % and released % of its % payouts',
            batch.id, batch.status, reserved, released, payouts USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER payments_batch_whole AFTER INSERT OR UPDATE ON payments_batch
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION payments_batch_whole();
"""

# A payout is written with its batch and never again. The count at the head, which cannot change, seals the
# batch: once it is reached there is no room for another payout.
PAYOUT = """
CREATE FUNCTION payments_payout_refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'payouts are never changed or removed: cancel the batch' USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER payments_payout_frozen BEFORE UPDATE OR DELETE ON payments_payout
    FOR EACH ROW EXECUTE FUNCTION payments_payout_refuse();
CREATE TRIGGER payments_payout_no_truncate BEFORE TRUNCATE ON payments_payout
    FOR EACH STATEMENT EXECUTE FUNCTION payments_payout_refuse();

CREATE FUNCTION payments_payout_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    found text;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- With an older snapshot the rule below could miss a batch that was just proposed.
        RAISE EXCEPTION 'payouts are written in READ COMMITTED transactions only'
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT string_agg(batch.id::text, ', ') INTO found
    FROM payments_batch batch
    WHERE batch.id IN (SELECT batch_id FROM written)
        AND (batch.status <> 'PROPOSED' OR batch.payout_count
            < (SELECT count(*) FROM payments_payout payout WHERE payout.batch_id = batch.id));
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'batch %: is complete and takes no more payouts', found USING ERRCODE = 'check_violation';
    END IF;

    PERFORM 1 FROM partners_partner WHERE id IN (SELECT partner_id FROM written) ORDER BY id FOR NO KEY UPDATE;
    SELECT string_agg(DISTINCT partner.slug, ', ') INTO found
    FROM written
    JOIN payments_payout other ON other.partner_id = written.partner_id AND other.id <> written.id
    JOIN payments_batch batch ON batch.id = other.batch_id AND batch.status = 'PROPOSED'
    JOIN partners_partner partner ON partner.id = written.partner_id;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'already in a proposed batch: %', found USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER payments_payout_guard AFTER INSERT ON payments_payout
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION payments_payout_guard();
"""

REMOVE = """
DROP TRIGGER payments_payout_guard ON payments_payout;
DROP TRIGGER payments_payout_no_truncate ON payments_payout;
DROP TRIGGER payments_payout_frozen ON payments_payout;
DROP TRIGGER payments_batch_whole ON payments_batch;
DROP TRIGGER payments_batch_no_truncate ON payments_batch;
DROP TRIGGER payments_batch_guard ON payments_batch;
DROP FUNCTION payments_payout_guard();
DROP FUNCTION payments_payout_refuse();
DROP FUNCTION payments_batch_whole();
DROP FUNCTION payments_batch_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("payments", "0001_initial"), ("ledger", "0003_conservation"), ("partners", "0001_initial")]

    operations = [migrations.RunSQL(BATCH + WHOLE + PAYOUT, REMOVE)]
