-- Changes of names and avatars that are not told to all rooms yet. Owned by
-- internal/profile.

-- +goose Up
CREATE TABLE profile_changes (
    user_id text        PRIMARY KEY REFERENCES profiles (user_id) ON DELETE CASCADE,
    -- Counts the changes since this row was made.
    change  bigint      NOT NULL DEFAULT 1,
    -- Who tells the rooms at the moment, until when that may be believed; empty: nobody,
    -- and not before then will it be tried again.
    holder  text        NOT NULL,
    until   timestamptz NOT NULL,
    -- How often it has failed since the last change.
    failed  integer     NOT NULL DEFAULT 0
);
