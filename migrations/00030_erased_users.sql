-- +goose Up

-- Users who want to be forgotten, and since when: those who come to a room later
-- get redacted copies of what they have said. Owned by internal/rooms.
CREATE TABLE erased_users (
    user_id  text   PRIMARY KEY,
    position bigint NOT NULL
);
CREATE INDEX erased_users_position ON erased_users (position);

-- Of those who wanted it before, only the profile went. They are erased from now
-- on, and what else is theirs goes at the next start.
INSERT INTO erased_users (user_id, position)
    SELECT user_id, coalesce((SELECT max(position) FROM journal), 0) FROM accounts WHERE erased;
UPDATE accounts SET deactivation_pending = true WHERE erased;
