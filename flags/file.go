// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"time"
)

// documentLimit is how long a document may be where nothing else was said.
const documentLimit = 64 << 20

// FileOptions are how a File is read. The zero value is useful.
type FileOptions struct {
	// Interval is how often the file is looked at; 0 is 1 s.
	Interval time.Duration
	// Decode reads what is in the file; nil is ParseDocument.
	Decode func([]byte) (Document, error)
	// Limit is how many bytes are read at most, 0 being 64 MiB. A longer file is an error.
	Limit int64
}

// File is a source of a document in a file, which is looked at from time to time.
// It makes no difference how the file is changed: written in place, replaced by another one,
// or behind a symbolic link that is moved, as Kubernetes does.
//
// What counts is the content, and only what is whole: a document in JSON, or, of
// another format, what two looks shortly after each other have found the same. So a
// file that is being written takes no flags away. A file that has come to rest and cannot be decoded is a Problem of the document, and the flags stay as they
// are until it can. A file that is gone is an error of Watch.
//
// It is no Store. Editors, configuration management and a program that all write one file
// cannot exclude each other, so that compare-and-set would be a promise that
// nobody keeps: dial flags in a store, and keep files for what is reviewed and deployed.
func File(path string, options FileOptions) Source {
	if options.Interval <= 0 {
		options.Interval = time.Second
	}
	whole := options.Decode == nil
	if whole {
		options.Decode = ParseDocument
	}
	if options.Limit <= 0 {
		options.Limit = documentLimit
	}
	return &file{path: path, FileOptions: options, whole: whole}
}

type file struct {
	path string
	FileOptions
	// whole says that no part of a document decodes: part of a JSON object is none.
	whole bool
}

// look is what one look at the file has found.
type look struct {
	info os.FileInfo
	at   time.Time
	sum  [sha256.Size]byte
	// doc is what was decoded; where that could not be, wrong says why.
	doc   Document
	wrong error
}

const (
	// quick is how long after each other two looks must find the same.
	quick = 50 * time.Millisecond
	// coarse is how far apart two writes must be for their times to differ, on the
	// file systems with the coarsest clocks.
	coarse = 2 * time.Second
	// trusted is how many looks may go by the file's time, length and place alone: some
	// programs set the time back.
	trusted = 10
	// tries bounds how often a file is read that changes all the time.
	tries = 20
)

// Watch implements Source.
func (f *file) Watch(ctx context.Context, publish func(Update)) error {
	in := intake{publish: publish}
	last, err := f.load(ctx, nil)
	switch {
	case err != nil:
		return err
	case last.wrong != nil:
		return last.wrong
	}
	in.take(last.doc)
	missing := false
	for n := 1; ; n++ {
		if !sleep(ctx, f.Interval) {
			return context.Cause(ctx)
		}
		if n%trusted != 0 && !missing && f.rests(last) {
			continue
		}
		next, err := f.load(ctx, &last)
		if err != nil && (missing || ctx.Err() != nil) { // at once is when it is replaced
			return err
		}
		missing = err != nil
		if missing {
			continue
		}
		changed := next.sum != last.sum
		last = next
		switch {
		case !changed:
		case next.wrong != nil:
			in.complain(next.wrong)
		default:
			in.take(next.doc)
		}
	}
}

// rests reports whether the file need not be read again, going by its place, time and length.
func (f *file) rests(last look) bool {
	info, err := os.Stat(f.path)
	return err == nil && same(info, last.info) && last.at.Sub(info.ModTime()) > coarse
}

func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// load reads the file until it finds what it knows, a document, or the same garbage
// twice. An error is that the file cannot be read.
func (f *file) load(ctx context.Context, known *look) (look, error) {
	var last look
	failed := errors.New("not read yet")
	for n := range tries {
		if n > 0 && !sleep(ctx, quick) {
			return look{}, context.Cause(ctx)
		}
		next, text, err := f.read()
		if err != nil {
			if n > 0 && failed != nil {
				return look{}, err
			}
			last, failed = look{}, err
			continue
		}
		if known != nil && next.sum == known.sum {
			return next, nil
		}
		rests := failed == nil && next.sum == last.sum && same(next.info, last.info)
		if rests || f.whole {
			var wrong error
			if next.doc, wrong = f.Decode(text); wrong == nil {
				return next, nil
			}
			next.wrong = fmt.Errorf("flags: file %s: %w", f.path, wrong)
			if rests {
				return next, nil
			}
		}
		last, failed = next, nil
	}
	return look{}, fmt.Errorf("flags: file %s: it does not come to rest; replace it by renaming another one", f.path)
}

// read reads the file once.
func (f *file) read() (l look, text []byte, err error) {
	l.at = time.Now()
	if l.info, err = os.Stat(f.path); err != nil {
		return l, nil, fmt.Errorf("flags: file: %w", err)
	}
	if !l.info.Mode().IsRegular() { // a pipe would keep us waiting
		return l, nil, fmt.Errorf("flags: file %s: it is no regular file", f.path)
	}
	in, err := os.Open(f.path)
	if err != nil {
		return l, nil, fmt.Errorf("flags: file: %w", err)
	}
	text, err = readBounded(in, f.Limit)
	if err = errors.Join(err, in.Close()); err != nil {
		return l, nil, fmt.Errorf("flags: file %s: %w", f.path, err)
	}
	l.sum = sha256.Sum256(text)
	return l, text, nil
}

// readBounded reads everything, unless that is more than limit.
func readBounded(r io.Reader, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("more than %d bytes; raise Limit if that is right", limit)
	}
	return text, nil
}

// intake turns whole documents into updates.
type intake struct {
	publish func(Update)
	last    Document
}

// take publishes a document. Flags that have not changed are the ones of before, so that
// nobody compiles them again.
func (in *intake) take(doc Document) {
	doc.Flags = maps.Clone(doc.Flags) // others may read the one that was given
	for key, f := range doc.Flags {
		if before := in.last.Flags[key]; before != nil && reflect.DeepEqual(before, f) {
			doc.Flags[key] = before
		}
	}
	in.last = doc
	in.publish(Update{Document: doc, Full: true})
}

// complain publishes what is wrong with a document that cannot be taken.
func (in *intake) complain(err error) {
	in.publish(Update{Document: Document{Problems: []Problem{{Err: fmt.Errorf("%w; the flags stay as they are", err)}}}})
}
