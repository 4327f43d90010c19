-- Changes of profiles that are not told to all rooms yet wait in the outbox now.

-- +goose Up
INSERT INTO outbox (kind, rooms, users, payload)
SELECT 'profile', '{}', ARRAY[user_id], '' FROM profile_changes ORDER BY until;
DROP TABLE profile_changes;
