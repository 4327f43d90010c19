package cluster

import (
	"archive/tar"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// castagnoli is the polynomial of the archives' checksum, which processors compute by themselves.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// packArchive writes the data folder of a cluster that has stopped into one file, which appears under its name when it is
// complete: a tar archive, and after it a checksum of it.
func packArchive(data, path string) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), templatePrefix+"*.new")
	if err != nil {
		return fmt.Errorf("write a template: %w", err)
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err == nil {
			err = os.Rename(file.Name(), path)
		}
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	sum := crc32.New(castagnoli)
	archive := tar.NewWriter(io.MultiWriter(file, sum))
	if err := filepath.WalkDir(data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == data || entry.Name() == postmasterFile || entry.Name() == optionsFile {
			return err
		}
		return packEntry(archive, data, path, entry)
	}); err != nil {
		return fmt.Errorf("write a template: %w", err)
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("write a template: %w", err)
	}
	_, err = file.Write(binary.BigEndian.AppendUint32(nil, sum.Sum32()))
	return err
}

// packEntry adds one file or folder to an archive.
func packEntry(archive *tar.Writer, data, path string, entry fs.DirEntry) error {
	name, err := filepath.Rel(data, path)
	if err != nil {
		return err
	}
	if entry.IsDir() {
		return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o700})
	}
	if !entry.Type().IsRegular() {
		return fmt.Errorf("%s is neither a file nor a folder", path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err = archive.Write(content)
	return err
}

// unpackArchive makes the folder target, owned by the owner, of the archive in a file. The file must be one that only
// this user can have written. After an error the folder may be there in part.
func unpackArchive(path, target string, owner *owner) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the template: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("look at the template: %w", err)
	}
	if !info.Mode().IsRegular() || ownerOf(info) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s could have been written by another user", path)
	}
	// Nobody else can enter the folder before all is in it.
	if err := os.Mkdir(target, 0o700); err != nil {
		return fmt.Errorf("copy the template: %w", err)
	}
	sum := crc32.New(castagnoli)
	content := io.TeeReader(io.LimitReader(file, info.Size()-crc32.Size), sum)
	folders, err := unpackEntries(tar.NewReader(content), target, owner)
	if err == nil {
		_, err = io.Copy(io.Discard, content) // what the reader of the archive has left
	}
	if err != nil {
		return fmt.Errorf("copy the template: %w", err)
	}
	want := make([]byte, crc32.Size)
	if _, err := io.ReadFull(file, want); err != nil || binary.BigEndian.Uint32(want) != sum.Sum32() {
		return fmt.Errorf("%s is damaged", path)
	}
	if !owner.isOther() {
		return nil
	}
	for _, folder := range slices.Backward(append([]string{target}, folders...)) {
		if err := os.Lchown(folder, owner.uid, owner.gid); err != nil {
			return fmt.Errorf("change the owner of the copy: %w", err)
		}
	}
	return nil
}

// unpackEntries makes the files of an archive, and its folders, which it returns.
func unpackEntries(archive *tar.Reader, target string, owner *owner) (folders []string, err error) {
	buffer := make([]byte, 256<<10)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return folders, nil
		}
		if err != nil {
			return folders, err
		}
		if !filepath.IsLocal(header.Name) {
			return folders, fmt.Errorf("%q is outside of the folder", header.Name)
		}
		path := filepath.Join(target, header.Name) //nolint:gosec // see above
		switch header.Typeflag {
		case tar.TypeDir:
			folders = append(folders, path)
			err = os.Mkdir(path, 0o700)
		case tar.TypeReg:
			err = unpackFile(path, archive, buffer, owner)
		default:
			err = fmt.Errorf("%q is neither a file nor a folder", header.Name)
		}
		if err != nil {
			return folders, err
		}
	}
}

// unpackFile makes one file.
func unpackFile(path string, content io.Reader, buffer []byte, owner *owner) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if owner.isOther() {
		err = file.Chown(owner.uid, owner.gid)
	}
	if err == nil {
		// Not by the file's own method, which would allocate a buffer for each.
		_, err = io.CopyBuffer(struct{ io.Writer }{file}, struct{ io.Reader }{content}, buffer)
	}
	return errors.Join(err, file.Close())
}
