-- +goose Up

-- What other processes have written is read by its position in the journal.
CREATE INDEX account_data_position ON account_data (position);
CREATE INDEX receipts_position ON receipts (position);
CREATE INDEX push_rules_position ON push_rules (position);
CREATE INDEX forgotten_rooms_position ON forgotten_rooms (position);
