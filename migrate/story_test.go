// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/internal/script"
	"github.com/rheostat-go/rheostat/migrate"
)

// TestTraces tells whole stories on a Memory: what is ordered, what happens, what is refused.
// Each line of a story is one action; the answer is what the observer was told, what the
// database was given, and how the call ended.
func TestTraces(t *testing.T) {
	t.Parallel()
	script.Run(t, "testdata/*.txt", func(t *testing.T, cmd script.Cmd) string {
		t.Helper()
		if cmd.Name != "story" {
			t.Fatalf("%s: no command %q", cmd.Pos, cmd.Name)
		}
		var out strings.Builder
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, &out)
			for _, line := range cmd.Input {
				s.printf("> %s\n", line)
				if err := s.act(line); err != nil {
					s.printf("error: %v\n", err)
				}
			}
			s.stop()
		})
		return out.String()
	})
}

// stage is where a story plays.
type stage struct {
	t      *testing.T
	db     *migrate.Memory
	m      *migrate.Migrator
	change migrate.Change
	began  time.Time
	cancel context.CancelFunc
	ended  chan struct{}

	mu     sync.Mutex // of what follows
	out    *strings.Builder
	faults map[string][]error // of the next calls of a method, before; after where it says so
	after  map[string]error
}

func (s *stage) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, format, args...)
}

func newStage(t *testing.T, out *strings.Builder) *stage {
	t.Helper()
	s := &stage{t: t, out: out, db: migrate.NewMemory(), faults: map[string][]error{}, after: map[string]error{}, began: time.Now(), cancel: func() {}}
	s.db.Before = func(_ context.Context, call string) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if list := s.faults[call]; len(list) > 0 {
			s.faults[call] = list[1:]
			return list[0]
		}
		return nil
	}
	s.db.After = func(_ context.Context, call string) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		err := s.after[call]
		delete(s.after, call)
		return err
	}
	var err error
	s.m, err = migrate.New(s.db, migrate.Options{Owner: "ann", Throttle: migrate.Throttle{Duty: 1}, Observe: s.observe})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// stop ends what works in the background.
func (s *stage) stop() {
	s.cancel()
	if s.ended != nil {
		<-s.ended
		s.ended = nil
	}
}

func (s *stage) observe(_ context.Context, e migrate.Event) {
	at := time.Since(s.began).Truncate(10 * time.Second) // pauses are of random length
	switch e.Kind {
	case migrate.PhaseEntered:
		s.printf("%v == %v\n", at, e.Phase)
	case migrate.StatementRun:
		s.printf("%v    %s: %s\n", at, e.Step, e.Statement)
	case migrate.StepDone:
		s.printf("%v    %s: done\n", at, e.Step)
	case migrate.StepUndone:
		s.printf("%v    %s: undone\n", at, e.Step)
	case migrate.Advanced:
		if e.Progress.Done {
			s.printf("%v    %s: %d rows of %d\n", at, e.Step, e.Progress.Seen, e.Progress.Total)
		}
	case migrate.Throttled, migrate.Waiting:
		s.printf("%v    %s: %s\n", at, e.Kind, e.Why)
	case migrate.Retried, migrate.Failed:
		s.printf("%v    %s: %v\n", at, e.Kind, e.Err)
	case migrate.StepBegun:
	}
}

// faultsByName are what can befall a call.
var faultsByName = map[string]error{
	"timeout": fmt.Errorf("somebody reads: %w", migrate.ErrLockTimeout),
	"lost":    driver.ErrBadConn,
	"silent":  io.ErrUnexpectedEOF,
	"wrong":   errors.New("no column \"email\""),
}

func (s *stage) act(line string) error {
	ctx := s.t.Context()
	verb, rest, _ := strings.Cut(line, " ")
	words := strings.Fields(rest)
	switch verb {
	case "change":
		s.change = migrate.Change{}
		return json.Unmarshal([]byte(rest), &s.change)
	case "register":
		return s.db.Register(ctx, migrate.Instance{App: "shop", Version: words[0], ID: "i"})
	case "unregister":
		return s.db.Unregister(ctx, migrate.Instance{App: "shop", Version: words[0], ID: "i"})
	case "begin", "order", "reach":
		return s.want(ctx, verb, words)
	case "busy":
		d, err := time.ParseDuration(rest)
		if err != nil {
			return err
		}
		_, err = s.db.Lock(ctx, "change:"+s.change.ID, "cid", d)
		return err
	case "run":
		return s.m.Run(ctx, s.change.ID)
	case "rollback":
		return s.m.Rollback(ctx, s.change.ID, rest)
	case "pause":
		return s.m.Pause(ctx, s.change.ID, "bob", rest)
	case "resume":
		return s.m.Resume(ctx, s.change.ID, "bob", rest)
	case "work":
		ctx, s.cancel = context.WithCancel(ctx)
		s.ended = make(chan struct{})
		go func() {
			defer close(s.ended)
			if err := s.m.Work(ctx); !errors.Is(err, context.Canceled) {
				s.t.Errorf("Work: %v", err)
			}
		}()
		synctest.Wait()
	case "stop":
		s.stop()
	case "sleep":
		d, err := time.ParseDuration(rest)
		if err != nil {
			return err
		}
		time.Sleep(d)
		synctest.Wait()
	case "fault": // fault Do timeout wrong …
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, name := range words[1:] {
			if lost, ok := strings.CutSuffix(name, "-reply"); ok {
				s.after[words[0]] = faultsByName[lost]
				continue
			}
			s.faults[words[0]] = append(s.faults[words[0]], faultsByName[name])
		}
	case "explain":
		r, err := s.m.Record(ctx, s.change.ID)
		if err == nil {
			s.printf("%s\n", r.Explain())
		}
		return err
	case "statements":
		s.printf("%s\n", strings.Join(s.db.Statements(), "\n"))
	default:
		s.t.Fatalf("no action %q", line)
	}
	return nil
}

func (s *stage) want(ctx context.Context, verb string, words []string) error {
	var phase migrate.Phase
	if err := phase.UnmarshalText([]byte(words[0])); err != nil {
		return err
	}
	order := migrate.Order{Want: phase, By: "bob", Force: len(words) > 1 && words[1] == "force"}
	switch verb {
	case "begin":
		return s.m.Begin(ctx, s.change, order)
	case "order":
		return s.m.Order(ctx, s.change.ID, order)
	}
	return s.m.Reach(ctx, s.change, phase)
}
