// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package nginx

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rheostat-go/rheostat/traffic"
)

// longestInclude bounds what is read; 64 matches with long values take 200 kB.
const longestInclude = 1 << 20

// noteMark begins the first line of an include.
const noteMark = "# rheostat: "

// note is what an include holds beside its directives.
type note struct {
	// Fence is the highest that was accepted.
	Fence uint64 `json:"fence"`
	// Route is the digest of the route that was accepted under it.
	Route string `json:"route"`
}

// line is the note with a checksum, so that a damaged fence is not another one.
func (n note) line() string {
	text, err := json.Marshal(n)
	if err != nil {
		panic(err) // a number and a text
	}
	return fmt.Sprintf("%s%s %08x\n", noteMark, text, crc(text))
}

func crc(text []byte) uint32 { return crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)) }

// readNote finds the note in the lines of a text; nil if there is none.
func readNote(text string) (*note, error) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, noteMark)
		if !ok {
			continue
		}
		rest = strings.TrimSpace(rest)
		at := strings.LastIndexByte(rest, ' ')
		n := new(note)
		if at < 0 || rest[at+1:] != fmt.Sprintf("%08x", crc([]byte(rest[:at]))) || json.Unmarshal([]byte(rest[:at]), n) != nil {
			return nil, errors.New("the line with the fence is damaged: put back a copy, or take the line out to begin without a fence")
		}
		return n, nil
	}
	return nil, nil //nolint:nilnil // no note is no error
}

// include is the file as it was read.
type include struct {
	text    string
	missing bool

	noted      *note         // nil if it has none
	route      traffic.Route // by its directives; zero if they are blank
	upstream   string        // of all requests, if the directives are blank
	generation string        // that it says it has
	foreign    error         // why the directives are no route
}

// read reads the include, and fails if its fence cannot be known.
func (r *Router) read(path string) (include, error) {
	var have include
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		have.missing = true
		return have, nil
	}
	if err != nil {
		return have, fmt.Errorf("include: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, longestInclude+1))
	err = errors.Join(err, f.Close())
	switch {
	case err != nil:
		return have, fmt.Errorf("include: %w", err)
	case len(text) > longestInclude:
		return have, fmt.Errorf("%s: it is longer than any route", path)
	}
	have.text = string(text)
	if have.noted, err = readNote(have.text); err != nil {
		return have, fmt.Errorf("%s: %w", path, err)
	}
	if strings.TrimSpace(have.text) != "" {
		have.parse(r.o.Variable)
	}
	return have, nil
}

// refuse says why an Apply with that note may not write, or nil.
func (have include) refuse(n note) error {
	switch {
	case have.noted == nil && have.foreign != nil:
		// Perhaps the path of somebody else's file.
		return fmt.Errorf("the include holds what rheostat did not write; empty it to hand it over: %w", have.foreign)
	case have.noted == nil:
	case n.Fence < have.noted.Fence:
		return fmt.Errorf("fence %d after %d: %w", n.Fence, have.noted.Fence, traffic.ErrFenced)
	case n.Fence == have.noted.Fence && n.Route != have.noted.Route && have.noted.Route != "":
		return fmt.Errorf("fence %d was used for another route: %w", n.Fence, traffic.ErrConflict)
	}
	return nil
}

// is reports whether the directives are those of the route.
func (have include) is(route traffic.Route) bool {
	return have.foreign == nil && have.route.Equal(route)
}

// restore puts the file back as it was read.
func (have include) restore(path string) error {
	var err error
	if have.missing {
		err = os.Remove(path)
	} else {
		err = replace(path, have.text)
	}
	if err != nil {
		return fmt.Errorf("the include could not be put back: %w", err)
	}
	return nil
}

// replace writes the file beside its place and renames it, so that nginx reads
// the old one or the new one. The lock lets in one at a time.
func replace(path, text string) error {
	mode := fs.FileMode(0o644) // nginx may read it as another user
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	temp := path + ".tmp"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("include: %w", err)
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return fmt.Errorf("include: %w", errors.Join(err, os.Remove(temp)))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the rename survive a loss of power.
func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("include: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}
