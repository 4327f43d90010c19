-- +goose Up

-- When an operator has dealt with a report, in milliseconds since the epoch; NULL: not yet.
ALTER TABLE reports ADD COLUMN closed_at bigint;
CREATE INDEX reports_open ON reports (id) WHERE closed_at IS NULL;
