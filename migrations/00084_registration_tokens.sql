-- Tokens by which people may register. Owned by internal/auth/registrationtoken. Times are milliseconds since the epoch.

-- +goose Up
CREATE TABLE registration_tokens (
    token      text    PRIMARY KEY,
    -- How many accounts may be made with it; NULL: any number.
    uses       integer,
    used       integer NOT NULL DEFAULT 0,
    -- NULL: it does not expire.
    expires_at bigint,
    created_at bigint  NOT NULL
);

-- A session may have more than one thing to claim: an address and a token, by the names of their stages.
ALTER TABLE interactive_sessions ADD COLUMN proofs jsonb NOT NULL DEFAULT '{}';
UPDATE interactive_sessions
SET proofs = jsonb_build_object(CASE WHEN 'm.login.msisdn' = ANY (completed) THEN 'm.login.msisdn' ELSE 'm.login.email.identity' END, threepid_sid)
WHERE threepid_sid <> '';
ALTER TABLE interactive_sessions DROP COLUMN threepid_sid;
