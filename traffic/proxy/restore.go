// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

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

// save replaces the file at path, wholly or not at all, and returns once it
// would outlive a power cut.
func save(path string, a accepted) error {
	body, err := json.Marshal(a)
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

// restore reads what save wrote, nil if nothing ever was. A folder that is not
// there is an error now rather than with the first Apply.
func restore(path string) (*accepted, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return nil, fmt.Errorf("its folder must exist: %w", err)
		}
		return nil, nil //nolint:nilnil // nothing was ever saved, and that is no error
	}
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, fileLimit))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	a, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): put back a copy, or delete it to begin without a route, "+
			"with all requests on Options.Default until a rollout applies one", path, err)
	}
	return a, nil
}

func decode(text []byte) (*accepted, error) {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, err
	}
	if f.Version != fileVersion {
		return nil, fmt.Errorf("version %d, want %d", f.Version, fileVersion)
	}
	if got := sum(f.Accepted); got != f.Sum {
		return nil, fmt.Errorf("checksum %s, want %s", f.Sum, got)
	}
	var a accepted
	if err := json.Unmarshal(f.Accepted, &a); err != nil {
		return nil, err
	}
	return &a, nil
}
