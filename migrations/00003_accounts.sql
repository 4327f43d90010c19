-- Accounts, devices, tokens and sessions of interactive authentication.
-- Owned by internal/auth. Times are milliseconds since the epoch.

-- +goose Up
CREATE TABLE accounts (
    user_id              text    PRIMARY KEY,
    -- PHC string; NULL: nobody can log in with a password.
    password_hash        text,
    admin                boolean NOT NULL DEFAULT false,
    guest                boolean NOT NULL DEFAULT false,
    created_at           bigint  NOT NULL,
    -- NULL: the account is active. A row is never removed, so that a user ID is
    -- never given to a second person.
    deactivated_at       bigint,
    -- True until everything that follows from a deactivation has been done.
    deactivation_pending boolean NOT NULL DEFAULT false,
    erased               boolean NOT NULL DEFAULT false
);

CREATE INDEX accounts_deactivation_pending ON accounts (user_id) WHERE deactivation_pending;

CREATE TABLE devices (
    user_id      text   NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    device_id    text   NOT NULL CHECK (device_id <> ''),
    display_name text,
    created_at   bigint NOT NULL,
    last_seen_ts bigint NOT NULL,
    last_seen_ip text   NOT NULL,
    user_agent   text   NOT NULL,
    PRIMARY KEY (user_id, device_id)
);

-- The tokens of a device form one chain: logging in starts generation 1, and each
-- refresh adds a generation. Only hashes are kept.
CREATE TABLE access_tokens (
    token_hash bytea  PRIMARY KEY,
    user_id    text   NOT NULL,
    device_id  text   NOT NULL,
    generation bigint NOT NULL,
    -- NULL: does not expire.
    expires_at bigint,
    FOREIGN KEY (user_id, device_id) REFERENCES devices (user_id, device_id) ON DELETE CASCADE
);

CREATE INDEX access_tokens_device ON access_tokens (user_id, device_id);

CREATE TABLE refresh_tokens (
    token_hash bytea   PRIMARY KEY,
    user_id    text    NOT NULL,
    device_id  text    NOT NULL,
    generation bigint  NOT NULL,
    -- True once a newer generation has been used. The newest such row stays, so that
    -- its owner is told to log in again instead of being told that the device is gone.
    revoked    boolean NOT NULL DEFAULT false,
    FOREIGN KEY (user_id, device_id) REFERENCES devices (user_id, device_id) ON DELETE CASCADE
);

CREATE INDEX refresh_tokens_device ON refresh_tokens (user_id, device_id);

CREATE TABLE interactive_sessions (
    session_hash   bytea  PRIMARY KEY,
    operation      text   NOT NULL,
    -- The owner of the access token of the request; '' where it had none.
    user_id        text   NOT NULL,
    -- Whom a stage has found the client to be; '' as long as none has.
    proved_user_id text   NOT NULL DEFAULT '',
    completed      text[] NOT NULL DEFAULT '{}',
    created_at     bigint NOT NULL
);

CREATE INDEX interactive_sessions_user ON interactive_sessions (user_id, created_at);
CREATE INDEX interactive_sessions_created ON interactive_sessions (created_at);
