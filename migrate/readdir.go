// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/migrate/internal/sqltext"
)

// ReadDir reads the migrations in one folder, not those in folders below it. Each is a pair
// of files, of which the second may be missing,
//
//	20240312000000-add-user-preferences.up.sql
//	20240312000000-add-user-preferences.down.sql
//
// (db-migrate's names, -up.sql and -down.sql, are understood for pairs), or one file
// 20240312000000-add-user-preferences.sql in two sections, which begin with the lines
//
//	-- migrate:up           or    -- +goose Up
//	-- migrate:down         or    -- +goose Down
//
// A script is run outside a transaction if it says -- migrate:up transaction:false,
// -- migrate:down transaction:false, or, for both, -- +goose NO TRANSACTION. Between
// -- +goose StatementBegin and -- +goose StatementEnd is one statement. What else a script
// may say, above both sections for both of them:
//
//	-- migrate:lock-timeout 1s              a bound on each wait for a lock
//	-- migrate:timeout 10m                  a bound on each statement
//	-- migrate:out-of-order                 it may go up after a later version
//	-- migrate:allow drop-column why        the statement below it is safe here; see Up
//
// Files whose names do not end in .sql are passed over; but Up refuses to leave out what is
// a migration in Go, JavaScript or the like, until one of its ID is added to the set. Errors
// name the file and the line.
func ReadDir(fsys fs.FS, dir string) (Set, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return Set{}, fmt.Errorf("migrate: %w", err)
	}
	r := reader{byID: map[string]int{}, names: map[string]bool{}}
	for _, e := range entries {
		r.names[e.Name()] = !e.IsDir()
	}
	var errs []error
	programs := map[string]string{}
	for _, e := range entries {
		if id, ok := program(e.Name()); ok && !e.IsDir() {
			programs[id] = path.Join(dir, e.Name())
		}
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".sql") {
			continue
		}
		file := path.Join(dir, e.Name())
		text, err := fs.ReadFile(fsys, file)
		if err == nil {
			err = r.file(file, normal(string(text)))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("migrate: %w", err))
		}
	}
	for _, m := range r.all {
		if m.Up.file == "" && m.Down.file != "" {
			errs = append(errs, fmt.Errorf("migrate: %s:1: it takes %s back, which is not there", m.Down.file, m.ID))
		}
	}
	var set Set
	if err := errors.Join(errs...); err != nil {
		return set, err
	}
	err = set.Add(r.all...)
	set.programs = programs
	return set, err
}

// program is the ID of a file that is a migration of goose's or db-migrate's in a
// programming language.
func program(name string) (id string, ok bool) {
	ext := path.Ext(name)
	id = strings.TrimSuffix(name, ext)
	code := slices.Contains([]string{".go", ".js", ".cjs", ".mjs", ".ts", ".py", ".rb"}, ext)
	return id, code && versionOf(id) != "" && !strings.HasSuffix(id, "_test")
}

// reader gathers the files of a folder.
type reader struct {
	names map[string]bool // files in the folder
	all   []Migration
	byID  map[string]int
}

// file reads one file.
func (r *reader) file(file, text string) error {
	id, side := r.split(path.Base(file))
	if versionOf(id) == "" {
		return fmt.Errorf("%s:1: its name does not begin with a version: 20240312000000-add-user-preferences.up.sql", file)
	}
	i, known := r.byID[id]
	if !known {
		i = len(r.all)
		r.byID[id] = i
		r.all = append(r.all, Migration{ID: id})
	}
	m := &r.all[i]
	s := sections{file: file, side: side}
	if err := s.read(text); err != nil {
		return err
	}
	m.OutOfOrder = m.OutOfOrder || s.late
	for _, half := range []struct{ into, from *Part }{{&m.Up, s.up}, {&m.Down, s.down}} {
		switch {
		case half.from == nil:
		case half.into.file != "":
			return fmt.Errorf("%s:%d: %s says what it does already", file, half.from.line, half.into.file)
		default:
			*half.into = *half.from
		}
	}
	return nil
}

// split is the migration that a file belongs to, and which side of it: up, down or, empty,
// both.
func (r *reader) split(name string) (id, side string) {
	stem := strings.TrimSuffix(name, ".sql")
	for _, side := range []string{"up", "down"} {
		if id, ok := strings.CutSuffix(stem, "."+side); ok {
			return id, side
		}
		// A file may be called clean-up.sql and be whole.
		if id, ok := strings.CutSuffix(stem, "-"+side); ok && r.names[id+"-up.sql"] && r.names[id+"-down.sql"] {
			return id, side
		}
	}
	return stem, ""
}

// sections are the parts of one file.
type sections struct {
	file     string
	side     string // what the file's name says
	up, down *Part
	alone    bool
	late     bool
	now      **Part // where lines go; nil is before the first section
	text     strings.Builder
	begins   int // the line of it

	lockTimeout, timeout time.Duration // what is said above the sections
}

func (s *sections) read(text string) error {
	switch s.side {
	case "up":
		s.now = &s.up
	case "down":
		s.now = &s.down
	}
	if s.now != nil {
		*s.now = &Part{file: s.file, line: 1}
	}
	n := 0
	for line := range strings.Lines(text) {
		n++
		taken, err := s.directive(n, sqltext.Directive(line))
		if err != nil {
			return fmt.Errorf("%s:%d: %w", s.file, n, err)
		}
		switch {
		case !taken:
			s.text.WriteString(line)
		case s.begins != n+1:
			s.text.WriteString("\n") // the lines keep their numbers
		}
	}
	if err := s.end(); err != nil {
		return err
	}
	if s.up == nil && s.side != "down" {
		return fmt.Errorf("%s:1: it has neither -- migrate:up nor -- +goose Up: add one, or name the file .up.sql", s.file)
	}
	for _, p := range []*Part{s.up, s.down} {
		if p != nil {
			p.Alone = p.Alone || s.alone
			p.LockTimeout, p.Timeout = cmp.Or(p.LockTimeout, s.lockTimeout), cmp.Or(p.Timeout, s.timeout)
		}
	}
	return nil
}

// directive obeys what a comment says, and says whether it did more than comment.
func (s *sections) directive(n int, text string) (taken bool, err error) {
	words := strings.Fields(strings.ToLower(text))
	if len(words) == 0 {
		return false, nil
	}
	goose, dbmate := words[0] == "+goose", strings.HasPrefix(words[0], "migrate:")
	rest := strings.Join(words[1:], " ")
	switch {
	case !goose && !dbmate:
		return false, nil
	case goose && (rest == "statementbegin" || rest == "statementend"), words[0] == "migrate:allow":
		return false, nil // the splitter's, and the linter's
	case words[0] == "migrate:out-of-order" && rest == "":
		s.late = true
		return true, nil
	case words[0] == "migrate:lock-timeout":
		into := &s.lockTimeout
		if s.now != nil {
			into = &(*s.now).LockTimeout
		}
		return true, within(into, rest)
	case words[0] == "migrate:timeout":
		into := &s.timeout
		if s.now != nil {
			into = &(*s.now).Timeout
		}
		return true, within(into, rest)
	case goose && rest == "no transaction":
		s.alone = true
		return true, nil
	case goose && (rest == "up" || rest == "down"):
		return true, s.begin(n, rest, false)
	case dbmate && (words[0] == "migrate:up" || words[0] == "migrate:down") && (rest == "" || rest == "transaction:true" || rest == "transaction:false"):
		return true, s.begin(n, strings.TrimPrefix(words[0], "migrate:"), rest == "transaction:false")
	}
	return false, fmt.Errorf("unknown directive %q: known are migrate:up and migrate:down, with transaction:false, migrate:lock-timeout, timeout, out-of-order and allow, and +goose Up, Down, NO TRANSACTION, StatementBegin and StatementEnd", text)
}

// within reads a bound.
func within(into *time.Duration, text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is no time above 0, such as 500ms or 2s", text)
	}
	*into = d
	return nil
}

// begin begins a section.
func (s *sections) begin(n int, side string, alone bool) error {
	into := &s.up
	if side == "down" {
		into = &s.down
	}
	if s.side != "" { // the file's name has begun it
		if side != s.side {
			return fmt.Errorf("a section %s in a file whose name says %s", side, s.side)
		}
		(*into).Alone = (*into).Alone || alone
		return nil
	}
	if *into != nil {
		return fmt.Errorf("a second section %s: the first begins on line %d", side, (*into).line-1)
	}
	if err := s.end(); err != nil {
		return err
	}
	s.begins = n + 1
	s.now = into
	*into = &Part{Alone: alone, file: s.file, line: n + 1}
	return nil
}

// end ends a section. Before the first there may only be comments.
func (s *sections) end() error {
	text := s.text.String()
	s.text.Reset()
	if s.now != nil {
		(*s.now).SQL = text
		return nil
	}
	all, err := sqltext.Split(text, sqltext.Generic, 1)
	if err == nil && len(all) > 0 {
		err = &sqltext.Error{Line: all[0].Line, Why: "a statement before -- migrate:up or -- +goose Up: begin the section above it, or name the file .up.sql"}
	}
	return located(s.file, err)
}

// located puts the file before the line of a script's error.
func located(file string, err error) error {
	if e := (*sqltext.Error)(nil); errors.As(err, &e) {
		return fmt.Errorf("%s:%d: %s", file, e.Line, e.Why)
	}
	return err
}
