// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
)

// memDisk is a disk in memory that keeps apart what the system shows and what
// would survive a power cut, and on which any call can be made to fail.
type memDisk struct {
	mu    sync.Mutex
	files map[string]*memFile
	// kept is the directory as of the last sync, and changes what came after.
	kept    map[string]*memFile
	changes []func(map[string]*memFile)

	calls int
	// fault says what goes wrong with a call, by its number, which begins with 1.
	fault func(call int, op string) fault
}

// fault is what goes wrong with one call.
type fault struct {
	err error
	// done says that the call has its effect all the same, or a write half of it.
	done bool
}

func newMemDisk() *memDisk {
	return &memDisk{files: map[string]*memFile{}, kept: map[string]*memFile{}}
}

// put makes a file that is wholly on the disk.
func (d *memDisk) put(name string, data []byte) {
	f := &memFile{disk: d, data: slices.Clone(data), kept: slices.Clone(data)}
	d.files[name], d.kept[name] = f, f
}

func (d *memDisk) bytes(name string) []byte { return slices.Clone(d.files[name].data) }

// call counts a call and decides whether it happens. d.mu is held.
func (d *memDisk) call(op string) fault {
	d.calls++
	if d.fault == nil {
		return fault{done: true}
	}
	f := d.fault(d.calls, op)
	f.done = f.done || f.err == nil
	return f
}

func (d *memDisk) change(c func(map[string]*memFile)) {
	c(d.files)
	d.changes = append(d.changes, c)
}

func (d *memDisk) path(name string) string { return "mem/" + name }

func (d *memDisk) open(name string, flag int) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := d.files[name]
	switch {
	case found == nil && flag&os.O_CREATE == 0:
		return nil, &fs.PathError{Op: "open", Path: d.path(name), Err: fs.ErrNotExist}
	case found != nil && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: d.path(name), Err: fs.ErrExist}
	}
	if flag&os.O_CREATE != 0 {
		if f := d.call("create"); !f.done {
			return nil, f.err
		}
	}
	if found == nil {
		found = &memFile{disk: d}
		d.change(func(dir map[string]*memFile) { dir[name] = found })
	}
	if flag&os.O_TRUNC != 0 {
		found.apply(edit{size: 0, truncate: true})
	}
	return &memHandle{memFile: found}, nil
}

func (d *memDisk) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.call("rename " + to)
	if moved := d.files[from]; f.done {
		if moved == nil {
			return fs.ErrNotExist
		}
		d.change(func(dir map[string]*memFile) {
			dir[to] = moved
			delete(dir, from)
		})
	}
	return f.err
}

func (d *memDisk) remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.call("remove")
	if f.done {
		if d.files[name] == nil {
			return fs.ErrNotExist
		}
		d.change(func(dir map[string]*memFile) { delete(dir, name) })
	}
	return f.err
}

func (d *memDisk) names() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.files)), nil
}

func (d *memDisk) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.call("sync dir")
	if f.done {
		d.kept, d.changes = maps.Clone(d.files), nil
	}
	return f.err
}

func (d *memDisk) same(name string, f file) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	h, ok := f.(*memHandle)
	return ok && d.files[name] == h.memFile
}

// reboot is the same disk after a power cut: of what was not synced, any part
// may be there.
func (d *memDisk) reboot(rng *rand.Rand) *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir := maps.Clone(d.kept)
	for _, c := range d.changes {
		if rng.IntN(2) == 0 {
			c(dir)
		}
	}
	after := newMemDisk()
	for name, f := range dir {
		data := slices.Clone(f.kept)
		for _, e := range f.edits {
			data = e.part(rng, data)
		}
		after.put(name, data)
	}
	return after
}

type memFile struct {
	disk *memDisk
	data []byte // what the system shows
	kept []byte // what was synced
	// edits are what came after, in order.
	edits []edit
}

// edit is a write, or a truncation to size.
type edit struct {
	at       int64
	data     []byte
	size     int64
	truncate bool
}

func (e edit) apply(data []byte) []byte {
	if e.truncate {
		return resize(data, e.size)
	}
	data = resize(data, max(int64(len(data)), e.at+int64(len(e.data))))
	copy(data[e.at:], e.data)
	return data
}

// part is what a power cut may leave of e: sectors of it, in any order.
func (e edit) part(rng *rand.Rand, data []byte) []byte {
	const sector = 64 // smaller than any real one, to tear more
	mode := rng.IntN(4)
	if mode == 0 {
		return data
	}
	if mode == 1 || e.truncate {
		return e.apply(data)
	}
	for at := 0; at < len(e.data); at += sector {
		piece := e.data[at:min(at+sector, len(e.data))]
		switch {
		case rng.IntN(2) == 0:
			data = edit{at: e.at + int64(at), data: piece}.apply(data)
		case mode == 3: // the size is on disk, the data is not
			data = resize(data, max(int64(len(data)), e.at+int64(at+len(piece))))
		}
	}
	return data
}

func resize(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size:size]
	}
	return append(data, make([]byte, size-int64(len(data)))...)
}

func (f *memFile) apply(e edit) {
	f.data = e.apply(f.data)
	f.edits = append(f.edits, e)
}

// memHandle is an open file.
type memHandle struct {
	*memFile
	closed bool
}

func (h *memHandle) ReadAt(p []byte, at int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.closed {
		return 0, fs.ErrClosed
	}
	if at >= int64(len(h.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *memHandle) WriteAt(p []byte, at int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.closed {
		return 0, fs.ErrClosed
	}
	f := h.disk.call("write")
	n := len(p)
	if f.err != nil {
		n /= 2
	}
	if f.done {
		h.apply(edit{at: at, data: slices.Clone(p[:n])})
	}
	return n, f.err
}

func (h *memHandle) Truncate(size int64) error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.closed {
		return fs.ErrClosed
	}
	f := h.disk.call("truncate")
	if f.done {
		h.apply(edit{size: size, truncate: true})
	}
	return f.err
}

// Sync that fails forgets what it should have written, as Linux does: the system
// goes on showing it and believes it to be on disk.
func (h *memHandle) Sync() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.closed {
		return fs.ErrClosed
	}
	f := h.disk.call("sync")
	if f.done {
		for _, e := range h.edits {
			h.kept = e.apply(slices.Clone(h.kept))
		}
	}
	h.edits = nil
	return f.err
}

func (h *memHandle) Close() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.closed {
		return fs.ErrClosed
	}
	h.closed = true
	return nil
}

func (h *memHandle) size() (int64, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	return int64(len(h.data)), nil
}

var errDisk = errors.New("disk says no")

func failAt(number int, done bool) func(int, string) fault {
	return func(call int, op string) fault {
		if call != number {
			return fault{}
		}
		return fault{err: fmt.Errorf("%s: %w", op, errDisk), done: done}
	}
}
