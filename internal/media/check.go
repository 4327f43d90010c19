package media

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/doctor"
)

// Checks returns the checks of media, for the operator's doctor.
func (s *Service) Checks() []doctor.Check {
	return []doctor.Check{
		{Title: "Media: files", Look: s.checkFiles},
		{Title: "Media: files of nobody", Look: s.checkStrays},
		checkUsage(),
	}
}

// checkFiles finds records without their file, and files that differ from what was
// uploaded. Nothing here can restore them.
func (s *Service) checkFiles(ctx context.Context, e *doctor.Exam) error {
	var number int64
	if err := e.Conn.QueryRow(ctx, `SELECT count(DISTINCT hash) FROM media`).Scan(&number); err != nil {
		return fmt.Errorf("count files: %w", err)
	}
	e.Expect(number)
	for f, err := range s.Files(ctx, "") {
		if err != nil {
			return err
		}
		problem, err := s.checkFile(ctx, f)
		if err != nil {
			return err
		}
		if problem != "" {
			e.Found("the file %s %s", f.Key, problem)
		}
		e.Step(1)
	}
	return nil
}

// checkFile returns what is wrong with a file; "": nothing.
func (s *Service) checkFile(ctx context.Context, f StoredFile) (problem string, err error) {
	content, err := s.OpenStored(ctx, f.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return "is missing", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	digest := sha256.New()
	n, err := io.Copy(digest, content)
	switch {
	case err != nil:
		return "", fmt.Errorf("read %s: %w", f.Key, err)
	case n != f.Bytes:
		return fmt.Sprintf("has %d bytes instead of %d", n, f.Bytes), nil
	case hex.EncodeToString(digest.Sum(nil)) != f.SHA256:
		return "does not have the content that was uploaded", nil
	}
	return "", nil
}

// strayPage is how many keys are looked up at a time.
const strayPage = 1000

// checkStrays finds files that no record refers to and nobody is uploading, and
// thumbnails of no file.
func (s *Service) checkStrays(ctx context.Context, e *doctor.Exam) error {
	var page []string
	err := s.Stored(ctx, func(key string, _ int64) error {
		page = append(page, key)
		if len(page) < strayPage {
			return nil
		}
		err := s.lookForStrays(ctx, e, page)
		page = page[:0]
		return err
	})
	if err != nil {
		return err
	}
	return s.lookForStrays(ctx, e, page)
}

func (s *Service) lookForStrays(ctx context.Context, e *doctor.Exam, keys []string) error {
	hashes := make([][]byte, len(keys))
	for i, key := range keys {
		h, ok := hashOfKey(key)
		if !ok {
			e.Found("%s in the storage of media is no file of this server", key)
			continue
		}
		hashes[i] = h[:]
	}
	rows, _ := e.Conn.Query(ctx, `
		SELECT h FROM unnest($1::bytea[]) AS h
		WHERE EXISTS (SELECT FROM media WHERE hash = h)
			OR EXISTS (SELECT FROM media_storing WHERE hash = h AND holders > 0 AND until >= now())`, hashes)
	used, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return fmt.Errorf("look for references to files: %w", err)
	}
	isUsed := make(map[string]bool, len(used))
	for _, h := range used {
		isUsed[string(h)] = true
	}
	for i, key := range keys {
		if hashes[i] == nil || isUsed[string(hashes[i])] {
			continue
		}
		if err := s.stray(ctx, e, key); err != nil {
			return err
		}
	}
	return nil
}

// stray reports an object that belongs to nothing, and removes it.
func (s *Service) stray(ctx context.Context, e *doctor.Exam, key string) error {
	if !e.Repair {
		e.Found("%s belongs to nothing", key)
		return nil
	}
	if strings.HasPrefix(key, thumbnailPrefix) {
		if err := s.storage.Remove(ctx, key); err != nil {
			return away("remove "+key, err)
		}
		e.Repaired("%s belongs to nothing", key)
		return nil
	}
	removed, err := s.RemoveUnreferenced(ctx, key)
	if err == nil && removed {
		e.Repaired("%s belongs to nothing", key)
	}
	return err
}

// hashOfKey returns the hash of the file that an object is, or is a thumbnail of.
func hashOfKey(key string) (hash, bool) {
	parts := keyPattern.FindStringSubmatch(key)
	if parts == nil {
		return hash{}, false
	}
	return parseContentKey(contentPrefix + parts[2])
}

// countedUsage selects the usage of users as counted from their files, and as recorded.
const countedUsage = `
	SELECT coalesce(u.user_id, m.user_id) AS user_id, coalesce(u.bytes, 0) AS said, coalesce(m.bytes, 0) AS counted
	FROM media_usage u FULL JOIN (
		SELECT user_id, sum(greatest(1, (bytes + 4095) / 4096) * 4096)::bigint AS bytes
		FROM media WHERE user_id IS NOT NULL AND hash IS NOT NULL GROUP BY user_id) m ON m.user_id = u.user_id
	WHERE coalesce(u.bytes, 0) <> coalesce(m.bytes, 0)`

func checkUsage() doctor.Check {
	return doctor.Rows{
		Title: "Media: what counts towards quotas",
		Find:  `SELECT format('the files of %s take %s bytes, and count as %s', user_id, counted, said) FROM (` + countedUsage + `) c`,
		Repair: []string{`
		INSERT INTO media_usage (user_id, bytes) SELECT user_id, counted FROM (` + countedUsage + `) c
		ON CONFLICT (user_id) DO UPDATE SET bytes = excluded.bytes`},
	}.Check()
}
