// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rheostat-go/rheostat/traffic"
)

// saves is how often save follows a map that changes under it. Each time, another
// writer of a higher fence came in between.
const saves = 8

// maxFile bounds what is read of the map's file, which has one entry.
const maxFile = 1 << 20

// saved is the entry that the next start of HAProxy begins with; the zero entry
// if there is none.
func (r *Router) saved() (entry, error) {
	if r.file == "" {
		return entry{}, nil
	}
	f, err := os.Open(r.file)
	if errors.Is(err, fs.ErrNotExist) {
		return entry{}, nil
	}
	if err != nil {
		return entry{}, fmt.Errorf("options.file: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return entry{}, fmt.Errorf("options.file: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if e := (entry{key, strings.TrimSpace(value)}); !strings.HasPrefix(key, "#") && e.matches() {
			return e, nil
		}
	}
	return entry{}, nil
}

// save makes the file say what is in force. Afterwards it looks again: whoever
// renames last finds that the file is right or writes it once more, so the file
// ends up right however writers interleave, without a lock that could be left behind.
func (r *Router) save(ctx context.Context) error {
	if r.file == "" {
		return nil
	}
	for range saves {
		now, err := r.inForce(ctx)
		if err != nil {
			return fmt.Errorf("the route is accepted and not yet in %s: %w", r.file, err)
		}
		fence, _, ok := now.fence()
		if !ok {
			return nil // somebody else has replaced the entry; the file keeps the fence
		}
		saved, err := r.saved()
		if err != nil {
			return err
		}
		if saved == now {
			return nil
		}
		if f, _, ok := saved.fence(); ok && f > fence {
			return fmt.Errorf("fence %d, and %s has %d: %w", fence, r.file, f, traffic.ErrFenced)
		}
		if err := r.replace(now); err != nil {
			return fmt.Errorf("the route is in force, and a reload would undo it: options.file: %w", err)
		}
	}
	return fmt.Errorf("%s: the map changed %d times while it was written; apply again", r.file, saves)
}

// replace writes the file beside its place and renames it, so that HAProxy reads
// the old one or the new one.
func (r *Router) replace(e entry) error {
	mode := fs.FileMode(0o644) // HAProxy may run as another user
	if info, err := os.Stat(r.file); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(r.file), filepath.Base(r.file)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "# The route in force, written by rheostat. See its package traffic/haproxy.\n%s %s\n", e.key, e.value)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), r.file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(r.file))
}

// syncDir makes the rename survive a loss of power.
func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
