-- +goose Up

-- People are found by parts of words through an index of all characters and pairs of characters in their names and user
-- IDs, without any extension of PostgreSQL. Owned by internal/personal/userdirectory.

-- A name and a local part without what may be inside of a word.
-- +goose StatementBegin
CREATE FUNCTION joined_name(name text, localpart text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ' ' || translate(name || ' ' || localpart, '''’‘ʼ.·', '')
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION characters_and_pairs(VARIADIC texts text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 10000 AS $$
    SELECT coalesce(array_agg(DISTINCT substr(t, at, long)), '{}')
    FROM unnest(texts) AS t, generate_series(1, length(t)) AS at, generate_series(1, 2) AS long
$$;
-- +goose StatementEnd

CREATE INDEX user_directory_pairs ON user_directory USING gin (characters_and_pairs(words, joined_name(name, localpart)));
CREATE INDEX user_directory_localpart ON user_directory (localpart);

-- Those that an older version of the server has entered are entered anew in the background.
ALTER TABLE user_directory ADD COLUMN is_old boolean NOT NULL DEFAULT true;
ALTER TABLE user_directory ALTER COLUMN is_old SET DEFAULT false;
CREATE INDEX user_directory_old ON user_directory (user_id) WHERE is_old;
