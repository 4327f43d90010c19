-- Whose the database is. Owned by internal/serveridentity.

-- +goose Up
CREATE TABLE server_identity (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    server_name text    NOT NULL,
    -- Of the signing key: its ID, and the 32 bytes by which its signatures are verified.
    key_id      text    NOT NULL,
    public_key  bytea   NOT NULL CHECK (length(public_key) = 32)
);

-- The keys that were used before. What they have signed can still be verified.
CREATE TABLE former_signing_keys (
    key_id      text   PRIMARY KEY,
    public_key  bytea  NOT NULL CHECK (length(public_key) = 32),
    -- Milliseconds since the epoch.
    replaced_at bigint NOT NULL
);
