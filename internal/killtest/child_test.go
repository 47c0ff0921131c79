// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package killtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// orderVariable makes the test binary the process that is killed.
const orderVariable = "RHEOSTAT_KILLTEST"

const (
	service = "shop"
	target  = "edge"
	// badStep is the step at which the candidate of every third run fails.
	badStep = 3
	// runsALife bounds the runs that one process begins, and runsBack how old
	// the stable version of a run can be.
	runsALife = 50
	runsBack  = 5
)

// order is what the parent wants of the process.
type order struct {
	Dir      string
	Backends [2]string
	// Run is the service's latest run; the process wires the versions around it.
	Run uint64
	// Finish ends the process when the run under way has ended; otherwise it
	// begins another.
	Finish bool
}

// line is one line of the process's diary, which outlives it.
type line struct {
	// What is "try" and "ok" around an accepted route, "saved" after a save,
	// "resumed" after the first turn, and "ended" after a run.
	What  string         `json:"what"`
	Fence uint64         `json:"fence,omitempty"`
	Route traffic.Route  `json:"route,omitzero"`
	Rev   uint64         `json:"rev,omitempty"`
	Seq   uint64         `json:"seq,omitempty"`
	Run   uint64         `json:"run,omitempty"`
	Phase strategy.Phase `json:"phase,omitempty"`
	Took  time.Duration  `json:"took,omitempty"`
}

func TestMain(m *testing.M) {
	began := time.Now()
	text := os.Getenv(orderVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var o order
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = serve(context.Background(), began, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve is the whole program: open everything, go on with the run that is under
// way, begin the next, until it is killed.
func serve(ctx context.Context, began time.Time, o order) error {
	d, err := openDiary(o.Dir)
	if err != nil {
		return err
	}
	store, err := strategy.OpenFileStore(filepath.Join(o.Dir, "state"), strategy.FileStoreOptions{CompactAt: 64 << 10, JournalBytes: 1 << 20})
	if err != nil {
		return err
	}
	backends := map[string][]*url.URL{}
	for n := range o.Run + runsALife {
		if n > 0 && n+runsBack < o.Run {
			continue
		}
		u, err := url.Parse(o.Backends[n%2])
		if err != nil {
			return err
		}
		backends[version(n)] = []*url.URL{u}
	}
	edge, err := proxy.New(backends, proxy.Options{File: filepath.Join(o.Dir, "route.json"), Default: version(0)})
	if err != nil {
		return err
	}
	runner, err := strategy.NewRunner(strategy.Config{
		Store: diaryStore{store, d},
		Wire: strategy.Fixed(strategy.Wiring{
			Routers: map[string]traffic.Router{target: diaryRouter{edge, d}},
			Judges:  map[string]analysis.Judge{"errors": analysis.JudgeFunc(judge)},
		}),
		Poll: 2 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	// Run does the same; a turn of its own shows how long the way here was.
	if _, err := runner.Reconcile(ctx, service); err != nil && !errors.Is(err, strategy.ErrNoRun) {
		return err
	}
	if err := d.write(line{What: "resumed", Took: time.Since(began)}); err != nil {
		return err
	}
	fmt.Println("resumed")
	for {
		s, err := runner.Run(ctx, service)
		if err != nil && s.Phase == strategy.Idle && !errors.Is(err, strategy.ErrNoRun) {
			return err
		}
		if s.Phase != strategy.Idle {
			if err := d.write(line{What: "ended", Run: s.Run, Phase: s.Phase, Rev: s.Rev, Seq: s.Seq}); err != nil {
				return err
			}
			if o.Finish {
				return store.Close()
			}
		}
		if err := begin(ctx, runner, s); err != nil {
			return err
		}
	}
}

// begin starts the run behind s.
func begin(ctx context.Context, runner *strategy.Runner, s strategy.State) error {
	plan, err := canary().Plan()
	if err != nil {
		return err
	}
	stable := s.LastGood
	if stable == (strategy.Revision{}) {
		stable.Version = version(0)
	}
	_, err = runner.Start(ctx, service, strategy.Request{
		Release:  strategy.Release{Stable: stable, Candidate: strategy.Revision{Version: version(s.Run + 1)}},
		Plan:     plan,
		Override: strategy.Override{By: "killtest", Why: "the next run begins at once"},
	})
	return err
}

func canary() strategy.Canary {
	return strategy.Canary{
		Target: target, Hold: 3 * time.Millisecond, Checks: []string{"errors"},
		Back: strategy.Back{Drain: time.Millisecond},
	}
}

// version names the candidate of a run, and its backend.
func version(run uint64) string { return fmt.Sprint("v", run) }

// bad says that the candidate of a run is one that must go home.
func bad(run uint64) bool { return run%3 == 0 }

func judge(_ context.Context, c analysis.Check) (analysis.Finding, error) {
	if bad(c.Run) && c.Step >= badStep {
		return c.Finding(analysis.Fail, "it is meant to"), nil
	}
	return c.Finding(analysis.Pass, ""), nil
}

// diary is a file of lines that a killed process has written down to the last.
type diary struct{ file *os.File }

func openDiary(dir string) (*diary, error) {
	f, err := os.OpenFile(filepath.Join(dir, "diary"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &diary{f}, nil
}

func (d *diary) write(l line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = d.file.Write(append(text, '\n'))
	return err
}

type diaryStore struct {
	strategy.Store
	diary *diary
}

func (s diaryStore) Save(ctx context.Context, service string, prev uint64, next strategy.State, log ...strategy.Transition) error {
	if err := s.Store.Save(ctx, service, prev, next, log...); err != nil {
		return err
	}
	return s.diary.write(line{What: "saved", Run: next.Run, Rev: next.Rev, Seq: next.Seq, Phase: next.Phase})
}

type diaryRouter struct {
	traffic.Router
	diary *diary
}

func (r diaryRouter) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	if err := r.diary.write(line{What: "try", Fence: fence, Route: route}); err != nil {
		return err
	}
	if err := r.Router.Apply(ctx, fence, route); err != nil {
		return err
	}
	return r.diary.write(line{What: "ok", Fence: fence, Route: route})
}
