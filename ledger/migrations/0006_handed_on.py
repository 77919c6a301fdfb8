"""A conversion may sell take that a swap of the hotkey brought to the key it sells from."""

from __future__ import annotations

import importlib

from django.db import migrations

_CHECK = importlib.import_module("ledger.migrations.0005_imports").check_period("asset <> 'ALPHA'")
_SAME_KEY = "AND y.hotkey = c.hotkey AND y.netuid = c.netuid)"
_HANDED_ON = """AND y.netuid = c.netuid AND (y.hotkey = c.hotkey
                OR public.ledger_handed_on(y.hotkey, y.netuid, y.block_id, c.hotkey, c.block_id)))"""
assert _SAME_KEY in _CHECK

FUNCTION = """
CREATE FUNCTION ledger_handed_on(earned_by text, subnet bigint, since bigint, sold_by text, until bigint)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    WITH RECURSIVE held (hotkey, block) AS (
        SELECT earned_by, since
        UNION
        SELECT e.other_hotkey::text, e.block_id FROM public.chain_stakeevent e JOIN held h ON e.hotkey = h.hotkey
        WHERE e.cause = 'HOTKEY_SWAP' AND e.kind = 'RESTAKE' AND NOT e.added AND e.netuid = subnet
            AND e.block_id BETWEEN h.block AND until
    )
    SELECT EXISTS (SELECT FROM held WHERE hotkey = sold_by)
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("ledger", "0005_imports"), ("chain", "0015_abandoned_keys")]

    operations = [
        migrations.RunSQL(
            FUNCTION + _CHECK.replace(_SAME_KEY, _HANDED_ON),
            _CHECK + "DROP FUNCTION ledger_handed_on(text, bigint, bigint, text, bigint);",
        )
    ]
