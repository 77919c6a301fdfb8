DROP FUNCTION ledger_refuse_change, ledger_remember_transaction, ledger_refuse_late_leg, ledger_refuse_late_row,
    ledger_refuse_late_fact CASCADE;
ALTER TABLE ledger_entry DROP COLUMN written_in;
ALTER TABLE ledger_period DROP COLUMN written_in;
