package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"homeserver/internal/journal"
)

// The names in a backup's folder.
const (
	manifestName   = "manifest.json"
	signingKeyName = "signing.key"
	mediaListName  = "media.txt"
	mediaFolder    = "media"
	tablesFolder   = "database"
)

// format is the version of the layout of a backup. A program restores backups of its
// own format, and no others.
const format = 1

// manifest is the content of manifest.json.
type manifest struct {
	Format     int              `json:"format"`
	ServerName string           `json:"server_name"`
	TakenAt    time.Time        `json:"taken_at"`
	Schema     int64            `json:"schema"`
	Position   journal.Position `json:"position"`
	Tables     []table          `json:"tables"`
	Sequences  []sequence       `json:"sequences"`
	Media      mediaFiles       `json:"media"`
	SigningKey file             `json:"signing_key"`
}

// file is a file of the backup. Path is relative, with slashes.
type file struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// table is the rows of one table of the database.
type table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
	Rows    int64    `json:"rows"`
	file
}

// sequence is where numbering goes on.
type sequence struct {
	Name   string `json:"name"`
	Last   int64  `json:"last"`
	Called bool   `json:"called"`
}

// mediaFiles sums up the files that the list names. Missing are those that the
// server did not have any more, or not as they were.
type mediaFiles struct {
	List    file     `json:"list"`
	Files   int64    `json:"files"`
	Bytes   int64    `json:"bytes"`
	Missing []string `json:"missing"`
}

// bytes returns how much there is to read of a backup.
func (m *manifest) bytes() int64 {
	n := m.Media.List.Bytes + m.Media.Bytes + m.SigningKey.Bytes
	for _, t := range m.Tables {
		n += t.Bytes
	}
	return n
}

func (m *manifest) rows() (n int64) {
	for _, t := range m.Tables {
		n += t.Rows
	}
	return n
}

// readManifest opens a backup and reads its manifest.
func readManifest(dir string) (*os.Root, *manifest, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("open the backup: %w", err)
	}
	content, err := root.ReadFile(manifestName)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s is not a backup: it has no %s", dir, manifestName)
		return nil, nil, errors.Join(err, root.Close())
	}
	m := &manifest{}
	if err == nil {
		err = json.Unmarshal(content, m)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("read %s of the backup: %w", manifestName, err), root.Close())
	}
	if m.Format != format {
		err = fmt.Errorf("the backup has format %d, and this program restores format %d", m.Format, format)
		return nil, nil, errors.Join(err, root.Close())
	}
	return root, m, nil
}
