-- +goose Up

-- Whose master keys a user has signed, and where last: the user's devices fetch their keys anew. Owned by
-- internal/e2ee/devicekeys.
CREATE TABLE signed_users (
    signer_id text   NOT NULL,
    user_id   text   NOT NULL,
    position  bigint NOT NULL,
    PRIMARY KEY (signer_id, user_id)
);
CREATE INDEX signed_users_position ON signed_users (position);
