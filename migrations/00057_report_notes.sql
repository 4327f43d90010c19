-- +goose Up

-- What the operator has noted when closing a report; NULL: nothing.
ALTER TABLE reports ADD COLUMN note text;
