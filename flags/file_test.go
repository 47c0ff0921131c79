// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/flagstest"
)

// texts is a document that tests write flag by flag.
type texts struct {
	mu   sync.Mutex
	all  map[string]json.RawMessage
	done func(document []byte) error
}

func newTexts(tb testing.TB, done func([]byte) error) *texts {
	tb.Helper()
	d := &texts{all: map[string]json.RawMessage{}, done: done}
	if err := d.set("", nil); err != nil {
		tb.Fatal(err)
	}
	return d
}

// set writes the flag's text, or takes it away.
func (d *texts) set(key string, text json.RawMessage) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := maps.Clone(d.all)
	if delete(all, key); text != nil {
		all[key] = text
	}
	document, err := json.Marshal(map[string]any{"flags": all})
	if err != nil {
		return err
	}
	d.all = all
	return d.done(document)
}

// subject is a source that reads such a document.
func (d *texts) subject(source flags.Source) flagstest.Subject {
	return flagstest.Subject{
		Source: source,
		Write: func(_ context.Context, f *flags.Flag) error {
			text, err := json.Marshal(f)
			if err != nil {
				return err
			}
			return d.set(f.Key, text)
		},
		Remove: func(_ context.Context, key string) error { return d.set(key, nil) },
		Raw: func(_ context.Context, key, text string) error {
			if !json.Valid([]byte(text)) { // it would break the whole document
				text = `"broken"`
			}
			return d.set(key, json.RawMessage(text))
		},
	}
}

const soon = 5 * time.Millisecond

func TestAFileKeepsTheLaw(t *testing.T) {
	for name, write := range map[string]func(path string, text []byte) error{
		"written in place": func(path string, text []byte) error { return os.WriteFile(path, text, 0o600) },
		"replaced":         replace,
		"behind a symbolic link": func(path string, text []byte) error {
			dir, err := os.MkdirTemp(filepath.Dir(path), "..") //nolint:usetesting // one for each write, beside the file
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, "flags"), text, 0o600); err != nil {
				return err
			}
			link := filepath.Join(dir, "link")
			if err := os.Symlink(filepath.Join(dir, "flags"), link); err != nil {
				return err
			}
			return os.Rename(link, path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			flagstest.Run(t, func(t *testing.T) flagstest.Subject {
				t.Helper()
				path := filepath.Join(t.TempDir(), "flags.json")
				d := newTexts(t, func(text []byte) error { return write(path, text) })
				s := d.subject(flags.File(path, flags.FileOptions{Interval: soon}))
				s.Another = func(context.Context) (flags.Source, error) {
					return flags.File(path, flags.FileOptions{Interval: soon}), nil
				}
				s.Break = func(context.Context) (func(), error) {
					d.mu.Lock() // nobody writes meanwhile
					err := os.Rename(path, path+".away")
					return sync.OnceFunc(func() {
						defer d.mu.Unlock()
						if err := os.Rename(path+".away", path); err != nil {
							t.Error(err)
						}
					}), err
				}
				return s
			})
		})
	}
}

func replace(path string, text []byte) error {
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// following is a client of a file.
func following(tb testing.TB, path string, options flags.FileOptions) *flags.Client {
	tb.Helper()
	options.Interval = soon
	client, err := flags.New(flags.File(path, options), flags.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	run(tb, client)
	return client
}

// eventually waits until something holds.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if holds() {
			return
		}
	}
	tb.Fatalf("waited in vain until %s", what)
}

func save(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func TestAFileThatIsBrokenLeavesTheFlags(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "flags.json")
	save(t, path, `{"flags":{"a":{"enabled":true}}}`)
	client := following(t, path, flags.FileOptions{})
	eventually(t, "the flag is there", func() bool { return client.Bool("a", false, nil) })
	for _, broken := range []string{``, `{"flags":{"a":{"enab`, `{"flags":[]}`, `{}`, "null", "\x00"} {
		save(t, path, broken)
		eventually(t, fmt.Sprintf("%q is a problem", broken), func() bool { return len(client.Status().Problems) == 1 })
		if p := client.Status().Problems[0]; p.Flag != "" || !errors.Is(p, flags.ErrInvalid) || !strings.Contains(p.Error(), path) {
			t.Errorf("%q is told as %+v", broken, p)
		}
		if !client.Bool("a", false, nil) {
			t.Errorf("%q has taken the flag away", broken)
		}
		save(t, path, `{"flags":{"a":{"enabled":true}}}`)
		eventually(t, "the problem is gone", func() bool { return len(client.Status().Problems) == 0 })
	}
}

func TestAFileThatIsGoneIsAnErrorAndLeavesTheFlags(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "flags.json")
	save(t, path, `{"flags":{"a":{"enabled":true}}}`)
	client := following(t, path, flags.FileOptions{})
	eventually(t, "the flag is there", func() bool { return client.Bool("a", false, nil) })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the status says so", func() bool { return errors.Is(client.Status().Err, fs.ErrNotExist) })
	if !client.Bool("a", false, nil) {
		t.Error("the flag is gone with the file")
	}
	save(t, path, `{"flags":{}}`)
	eventually(t, "the file is read again", func() bool { return client.Status().Err == nil && !client.Bool("a", false, nil) })
}

func TestAFileIsReadThoughItsTimeAndLengthAreTheSame(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "flags.json")
	old := time.Now().Add(-time.Hour)
	write := func(text string) {
		save(t, path, text)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"flags":{"a":{"enabled":true }}}`)
	client := following(t, path, flags.FileOptions{})
	eventually(t, "the flag is there", func() bool { return client.Bool("a", false, nil) })
	write(`{"flags":{"a":{"enabled":false}}}`)
	eventually(t, "the change is seen", func() bool { return !client.Bool("a", true, nil) })
}

func TestWhatIsNoFileOfFlagsIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	long := filepath.Join(dir, "long")
	save(t, long, `{"flags":{}}        `)
	garbage := filepath.Join(dir, "garbage")
	save(t, garbage, `{`)
	for path, want := range map[string]string{
		dir: "no regular file", filepath.Join(dir, "missing"): "no such file", long: "more than 16 bytes", garbage: "flags: file " + garbage,
	} {
		err := flags.File(path, flags.FileOptions{Interval: soon, Limit: 16}).Watch(t.Context(), func(flags.Update) { t.Errorf("%s: published", path) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestAFileOfAnotherFormatIsDecoded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "flags.txt")
	save(t, path, "a b")
	client := following(t, path, flags.FileOptions{Decode: func(text []byte) (flags.Document, error) {
		doc := flags.Document{Flags: map[string]*flags.Flag{}}
		for key := range strings.FieldsSeq(string(text)) {
			doc.Flags[key] = &flags.Flag{Key: key, Enabled: true}
		}
		return doc, nil
	}})
	eventually(t, "both flags are there", func() bool { return client.Bool("a", false, nil) && client.Bool("b", false, nil) })
}

func TestAFlagThatHasNotChangedStaysTheSame(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "flags.json")
	save(t, path, `{"flags":{"a":{"enabled":true},"b":{"enabled":false}}}`)
	client := following(t, path, flags.FileOptions{})
	eventually(t, "the flag is there", func() bool { return client.Bool("a", false, nil) })
	before, _ := client.Flag("a")
	save(t, path, `{"flags":{"a":{"enabled":true},"b":{"enabled":true}}}`)
	eventually(t, "the other flag has changed", func() bool { return client.Bool("b", false, nil) })
	if after, _ := client.Flag("a"); after != before {
		t.Error("a flag that has not changed was made anew")
	}
}
