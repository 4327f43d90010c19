-- Third-party identifiers: e-mail addresses and phone numbers. Times are
-- milliseconds since the epoch.

-- +goose Up

-- Owned by internal/threepid, down to where it says otherwise. The addresses that
-- accounts have, in canonical form.
CREATE TABLE user_threepids (
    medium       text   NOT NULL,
    address      text   NOT NULL,
    user_id      text   NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    validated_at bigint NOT NULL,
    added_at     bigint NOT NULL,
    PRIMARY KEY (medium, address)
);

CREATE INDEX user_threepids_user ON user_threepids (user_id);

-- The identity servers that addresses were bound at, so that they can be unbound.
CREATE TABLE threepid_bindings (
    user_id   text   NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    medium    text   NOT NULL,
    address   text   NOT NULL,
    id_server text   NOT NULL,
    bound_at  bigint NOT NULL,
    PRIMARY KEY (user_id, medium, address, id_server)
);

-- Somebody is proving to have an address.
CREATE TABLE threepid_sessions (
    sid                text    PRIMARY KEY,
    purpose            text    NOT NULL,
    medium             text    NOT NULL,
    address            text    NOT NULL,
    client_secret_hash bytea   NOT NULL,
    -- The attempt that was last answered with a message.
    send_attempt       bigint  NOT NULL,
    -- Of the tokens that were sent, the newest first. None where there is nothing
    -- to prove: the message said so.
    token_hashes       bytea[] NOT NULL,
    failures           integer NOT NULL DEFAULT 0,
    next_link          text    NOT NULL,
    expires_at         bigint  NOT NULL,
    -- NULL: not yet.
    validated_at       bigint,
    UNIQUE (purpose, medium, address, client_secret_hash)
);

CREATE INDEX threepid_sessions_expiry ON threepid_sessions (expires_at);

-- Owned by internal/auth. The session by which a stage of interactive
-- authentication has proved an address; '' as long as none has.
ALTER TABLE interactive_sessions ADD COLUMN threepid_sid text NOT NULL DEFAULT '';

-- Owned by internal/auth. Tokens for one login each; only hashes are kept.
CREATE TABLE login_tokens (
    token_hash bytea  PRIMARY KEY,
    user_id    text   NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    expires_at bigint NOT NULL
);

CREATE INDEX login_tokens_user ON login_tokens (user_id);
CREATE INDEX login_tokens_expiry ON login_tokens (expires_at);
