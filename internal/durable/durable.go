// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package durable keeps one small value in a file, for routers that are their own
// target: what they have accepted must outlive them.
package durable

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

const (
	fileVersion = 1
	// fileLimit bounds what is read; a route is some hundred bytes.
	fileLimit = 1 << 20
)

// file is what is kept on disk. The sum is over Accepted as it stands there, so
// that a flipped bit in a weight does not become another weight.
type file struct {
	Version  int             `json:"version"`
	Sum      string          `json:"crc32c"`
	Accepted json.RawMessage `json:"accepted"`
}

func sum(b []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// Save replaces the file at path with v as JSON, wholly or not at all, and returns
// once it would outlive a power cut. A file has one writer at a time.
func Save(path string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	text, err := json.Marshal(file{Version: fileVersion, Sum: sum(body), Accepted: body})
	if err != nil {
		return err
	}
	// Always the same name, so that a crash leaves one file behind and not many.
	temp := path + ".tmp"
	if err := writeSynced(temp, append(text, '\n')); err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(temp)))
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(temp)))
	}
	return syncDir(filepath.Dir(path))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes a rename durable. Windows has no such call and needs none.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Load reads into v what Save wrote; ok is false if nothing ever was. A folder
// that is not there is an error now rather than with the first Save. The error of
// a damaged file says what to do; v is then not to be used.
func Load(path string, v any) (ok bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return false, fmt.Errorf("its folder must exist: %w", err)
		}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	text, err := io.ReadAll(io.LimitReader(f, fileLimit))
	if err := errors.Join(err, f.Close()); err != nil {
		return false, err
	}
	if err := decode(text, v); err != nil {
		return false, fmt.Errorf("%s is damaged (%w): put back a copy, or delete it to begin without a route, "+
			"with all requests on Options.Default until a rollout applies one", path, err)
	}
	return true, nil
}

func decode(text []byte, v any) error {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	if f.Version != fileVersion {
		return fmt.Errorf("version %d, want %d", f.Version, fileVersion)
	}
	if got := sum(f.Accepted); got != f.Sum {
		return fmt.Errorf("checksum %s, want %s", f.Sum, got)
	}
	return json.Unmarshal(f.Accepted, v)
}
