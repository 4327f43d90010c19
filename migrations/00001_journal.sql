-- +goose Up

-- The one ordered log: whoever adds to it moves this position first, and the
-- row's lock makes the order of commits the order of positions.
CREATE TABLE journal (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO journal (position) VALUES (0);

-- Called by statements of a group that must have touched an exact number of
-- rows: the transaction fails with the given SQLSTATE when they have not.
-- +goose StatementBegin
CREATE FUNCTION expect_rows(touched bigint, wanted bigint, code text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF touched <> wanted THEN
        RAISE EXCEPTION 'touched % rows instead of %', touched, wanted USING ERRCODE = code;
    END IF;
END
$$;
-- +goose StatementEnd
