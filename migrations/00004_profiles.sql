-- Profiles of users. Owned by internal/profile.

-- +goose Up
-- A user without a row has an empty profile.
CREATE TABLE profiles (
    user_id     text PRIMARY KEY REFERENCES accounts (user_id) ON DELETE CASCADE,
    displayname text,
    avatar_url  text,
    -- A JSON object of all other fields. Text, because its values are handed back
    -- as they came, whatever the database thinks of escapes and depth.
    fields      text NOT NULL DEFAULT '{}'
);
