ALTER TABLE ledger_commissionline DROP CONSTRAINT commission_is_rate_of_base;
DROP TABLE ledger_due_check CASCADE;
DROP FUNCTION ledger_broken, ledger_check_entry, ledger_check_period, ledger_run_check, ledger_note_entry,
    ledger_note_legs, ledger_note_period, ledger_note_rows, ledger_check_attribution, ledger_check_floor, ledger_refuse_note CASCADE;
