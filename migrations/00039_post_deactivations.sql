-- What is left to be done after deactivations waits in the outbox now.

-- +goose Up
INSERT INTO outbox (kind, rooms, users, payload)
SELECT 'deactivation', '{}', ARRAY[user_id], convert_to(CASE WHEN erased THEN '{"erase":true}' ELSE '{"erase":false}' END, 'UTF8')
FROM accounts WHERE deactivation_pending ORDER BY user_id;
ALTER TABLE accounts DROP COLUMN deactivation_pending;
