-- +goose Up

-- Positions in (after, up_to] were never given out: a restored database goes on far
-- behind everything that was told to clients before. Owned by internal/journal.
CREATE TABLE journal_gaps (
    after bigint PRIMARY KEY,
    up_to bigint NOT NULL CHECK (up_to > after)
);
