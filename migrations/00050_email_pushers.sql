-- Mails about notifications. Owned by internal/personal/push.

-- +goose Up

-- An e-mail pusher is looked at when it is due; NULL: nothing has happened. mails is how many mails were sent, the last
-- one at mailed_at, since the user has last read what they were about.
ALTER TABLE pushers ADD COLUMN mailed_at timestamptz, ADD COLUMN mails integer NOT NULL DEFAULT 0;
CREATE INDEX pushers_mail_due ON pushers (due) WHERE kind = 'email' AND due IS NOT NULL;

-- What came before is not mailed.
INSERT INTO followers (name, position) SELECT 'email_pushers', position FROM journal;
