// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// disk is the store's directory. It is an interface so that tests can make any
// call fail and can cut the power between any two.
type disk interface {
	// path is the whole name of a file, for errors.
	path(name string) string
	// open opens a file for reading and writing, with os.O_CREATE and os.O_EXCL in flag.
	open(name string, flag int) (file, error)
	rename(from, to string) error
	remove(name string) error
	// names lists the files in alphabetical order.
	names() ([]string, error)
	// sync makes creations, renames and removals survive a power cut.
	sync() error
	// same reports whether the file is the one of that name.
	same(name string, f file) bool
}

type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes what was written survive a power cut. When it fails nobody can
	// know what is on disk, and a second call that succeeds proves nothing.
	Sync() error
	Truncate(size int64) error
	size() (int64, error)
}

const (
	fileMode = 0o600
	dirMode  = 0o700
)

// osDisk is a directory of the operating system.
type osDisk struct{ dir string }

// makeDisk opens a directory and creates it if there is none.
func makeDisk(dir string) (osDisk, error) {
	d := osDisk{dir}
	if _, err := os.Stat(dir); err == nil {
		return d, nil
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return d, fmt.Errorf("strategy: store: %w", err)
	}
	if err := (osDisk{filepath.Dir(dir)}).sync(); err != nil {
		return d, fmt.Errorf("strategy: store: %w", err)
	}
	return d, nil
}

func (d osDisk) path(name string) string { return filepath.Join(d.dir, name) }

func (d osDisk) open(name string, flag int) (file, error) {
	f, err := os.OpenFile(d.path(name), os.O_RDWR|flag, fileMode)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d osDisk) rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d osDisk) remove(name string) error { return os.Remove(d.path(name)) }

func (d osDisk) names() ([]string, error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (d osDisk) sync() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (d osDisk) same(name string, f file) bool {
	opened, ok := f.(osFile)
	if !ok {
		return false
	}
	a, errA := opened.Stat()
	b, errB := os.Stat(d.path(name))
	return errA == nil && errB == nil && os.SameFile(a, b)
}

type osFile struct{ *os.File }

func (f osFile) size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
