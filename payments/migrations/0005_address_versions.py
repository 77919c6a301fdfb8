"""Payouts go to the address in force and to no other, and never while the partner's address is being changed (PA10).

A request for a new address cancels the proposed batches that pay the partner: their approver would compare the old one.
"""

import importlib

from django.db import migrations

_TRIGGERS = importlib.import_module("payments.migrations.0002_triggers")
BATCH_BEFORE = _TRIGGERS.BATCH[: _TRIGGERS.BATCH.index("CREATE TRIGGER")]
PAYOUT_BEFORE = _TRIGGERS.PAYOUT[
    _TRIGGERS.PAYOUT.index("CREATE FUNCTION payments_payout_guard()") : _TRIGGERS.PAYOUT.rindex("CREATE TRIGGER")
]


def _replaced(text, old, new):
    assert text.count(old) == 1, old
    return text.replace(old, new).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


BATCH = _replaced(
    BATCH_BEFORE,
    "(payout.address <> partner.payout_address OR partner.status <> 'ACTIVE')",
    "(payout.address IS DISTINCT FROM partners_address_in_force(partner.id)"
    " OR partners_address_is_changing(partner.id) OR partner.status <> 'ACTIVE')",
)
PAYOUT = _replaced(
    PAYOUT_BEFORE,
    """    RETURN NULL;
END $$;""",
    """    SELECT string_agg(DISTINCT partner.slug, ', ') INTO found
    FROM written JOIN partners_partner partner ON partner.id = written.partner_id
    WHERE written.address IS DISTINCT FROM partners_address_in_force(partner.id)
        OR partners_address_is_changing(partner.id);
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'not the payout address in force, or it is being changed: %', found
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;""",
)
CANCEL = """
CREATE FUNCTION payments_address_requested() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE payments_batch batch
    SET status = 'CANCELLED', cancelled_by_id = NEW.requested_by_id, cancelled_at = clock_timestamp(),
        cancel_reason = left('A new payout address of '
            || (SELECT name FROM partners_partner WHERE id = NEW.partner_id) || ' was requested.', 200)
    WHERE batch.status = 'PROPOSED'
        AND EXISTS (SELECT FROM payments_payout WHERE batch_id = batch.id AND partner_id = NEW.partner_id);
    RETURN NULL;
END $$;
CREATE TRIGGER payments_address_requested AFTER INSERT ON partners_payoutaddress
    FOR EACH ROW WHEN (NEW.origin = 'REQUEST') EXECUTE FUNCTION payments_address_requested();
"""
UNDO = (
    "DROP TRIGGER payments_address_requested ON partners_payoutaddress; DROP FUNCTION payments_address_requested();"
    + (BATCH_BEFORE + PAYOUT_BEFORE).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
)


class Migration(migrations.Migration):
    dependencies = [("payments", "0004_auditor"), ("partners", "0011_payout_addresses")]

    operations = [migrations.RunSQL(BATCH + PAYOUT + CANCEL, UNDO)]
