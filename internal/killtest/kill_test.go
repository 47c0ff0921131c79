// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package killtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

const (
	allKills   = 300
	shortKills = 40
	// patience bounds the whole test on a slow machine, unless every kill is wanted.
	patience = 50 * time.Second
	// stuck is when a process that should have done something has not.
	stuck = 30 * time.Second
)

// parent starts processes, kills them, and remembers what must not be lost.
type parent struct {
	t     *testing.T
	order order
	rng   *rand.Rand

	rev, seq uint64 // the highest ever seen
	diary    []line
	read     int64 // bytes of the diary's file
	kills    int
	early    int // kills before the first turn was over
	outside  []time.Duration
}

func TestAKilledProcessGoesOnWhereItStood(t *testing.T) {
	t.Parallel()
	every := os.Getenv("RHEOSTAT_REAL") != ""
	kills := allKills
	if testing.Short() && !every {
		kills = shortKills
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	p := &parent{t: t, rng: rand.New(rand.NewPCG(seed, 1))}
	p.order.Dir = t.TempDir()
	for i := range p.order.Backends {
		server := httptest.NewServer(http.NotFoundHandler())
		t.Cleanup(server.Close)
		p.order.Backends[i] = server.URL
	}
	began := time.Now()
	for p.kills < kills {
		if !every && p.kills >= shortKills && time.Since(began) > patience {
			t.Logf("stopping after %v; set RHEOSTAT_REAL=1 for all %d kills", patience, kills)
			break
		}
		p.kill()
		p.check()
	}
	p.finish()
	p.check()
	p.wholeStory()
	t.Logf("%d kills in %v, %d of them before the first turn was over", p.kills, time.Since(began).Round(time.Millisecond), p.early)
	t.Logf("from the start of the process, as seen from outside: %s", spread(p.outside))
}

// process is one life.
type process struct {
	*exec.Cmd
	resumed chan struct{} // closed after the first turn
	stderr  bytes.Buffer
	began   time.Time
}

func (p *parent) start(o order) *process {
	p.t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		p.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	c := &process{Cmd: exec.CommandContext(p.t.Context(), self), resumed: make(chan struct{}), began: time.Now()}
	c.Env = append(os.Environ(), orderVariable+"="+string(text))
	c.Stderr = &c.stderr
	out, err := c.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		if bufio.NewScanner(out).Scan() {
			close(c.resumed)
		}
	}()
	return c
}

// kill starts a process and kills it: a third of them anywhere from the first
// moment on, which is often before anything is open, the others a little after
// their first turn.
func (p *parent) kill() {
	p.t.Helper()
	c := p.start(p.order)
	if p.rng.IntN(3) > 0 {
		select {
		case <-c.resumed:
			p.outside = append(p.outside, time.Since(c.began))
		case <-time.After(stuck):
			_ = c.Process.Kill()
			_ = c.Wait()
			p.t.Fatalf("after %d kills a process did nothing for %v: %s", p.kills, stuck, &c.stderr)
		}
		p.wait(500*time.Microsecond, 50*time.Millisecond)
	} else {
		p.wait(0, 80*time.Millisecond)
		select {
		case <-c.resumed:
		default:
			p.early++
		}
	}
	err := c.Process.Kill()
	var exit *exec.ExitError
	if waitErr := c.Wait(); err != nil || !errors.As(waitErr, &exit) || exit.Exited() {
		p.t.Fatalf("after %d kills a process ended by itself: %v\n%s", p.kills, waitErr, &c.stderr)
	}
	p.kills++
}

// wait lets a random time pass, in which the process does what it does.
func (p *parent) wait(least, most time.Duration) {
	timer := time.NewTimer(least + time.Duration(p.rng.Int64N(int64(most-least))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.t.Context().Done():
	}
}

// finish lets the last run end.
func (p *parent) finish() {
	p.t.Helper()
	o := p.order
	o.Finish = true
	c := p.start(o)
	timer := time.AfterFunc(stuck, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	if err := c.Wait(); err != nil {
		p.t.Fatalf("after %d kills the last process could not finish: %v\n%s", p.kills, err, &c.stderr)
	}
}

// check looks at what a dead process left, in a copy, so that the next one finds
// it as it is.
func (p *parent) check() {
	p.t.Helper()
	s := p.state()
	for _, l := range p.readOn() {
		p.rev, p.seq = max(p.rev, l.Rev), max(p.seq, l.Seq)
	}
	if s.Rev < p.rev || s.Seq < p.seq {
		p.t.Fatalf("after %d kills the state is at rev %d, seq %d; rev %d, seq %d was saved before", p.kills, s.Rev, s.Seq, p.rev, p.seq)
	}
	p.rev, p.seq, p.order.Run = s.Rev, s.Seq, s.Run
	if s.Phase == strategy.Idle {
		return
	}
	edge, ok := s.Target(target)
	if !ok {
		p.t.Fatalf("the state has no target: %+v", s)
	}
	if want, ok := commanded(s); ok && edge.Route.Split.Candidate != want {
		p.t.Fatalf("after %d kills %v is commanded at lane %+v in phase %v, want %v", p.kills, edge.Route, s.Lanes[0], s.Phase, want)
	}
	fence, route := p.accepted()
	if fence > edge.Fence && edge.Fence != 0 || fence == edge.Fence && fence != 0 && !route.Equal(edge.Route) {
		p.t.Fatalf("after %d kills the proxy holds %v under fence %d, the state commands %v under %d", p.kills, route, fence, edge.Route, edge.Fence)
	}
}

// commanded is the weight that belongs to a position, where one does.
func commanded(s strategy.State) (traffic.Weight, bool) {
	lane := s.Lanes[0]
	steps := s.Plan.Plan().Lanes[0].Steps
	switch {
	case s.Phase == strategy.Promoted:
		return traffic.Full, true
	case s.Phase != strategy.Progressing:
		return 0, true // all at once, as the plan says
	case lane.Status == strategy.Waiting:
		return 0, false
	case lane.Stage == strategy.Arming:
		return 0, true
	case lane.Stage == strategy.Preparing && lane.Step == 0:
		return 0, false
	case lane.Stage == strategy.Preparing:
		return steps[lane.Step-1].Set[0].Split.Candidate, true
	}
	return steps[lane.Step].Set[0].Split.Candidate, true
}

// state reads the store without touching it.
func (p *parent) state() strategy.State {
	p.t.Helper()
	from, to := filepath.Join(p.order.Dir, "state", "state.log"), p.t.TempDir()
	data, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return strategy.State{}
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(to, "state.log"), data, 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	store, err := strategy.OpenFileStore(to, strategy.FileStoreOptions{})
	if err != nil {
		p.t.Fatalf("after %d kills: %v", p.kills, err)
	}
	defer store.Close()
	s, err := store.Load(p.t.Context(), service)
	if err != nil {
		p.t.Fatalf("after %d kills: %v", p.kills, err)
	}
	return s
}

// accepted reads the proxy's file.
func (p *parent) accepted() (uint64, traffic.Route) {
	p.t.Helper()
	data, err := os.ReadFile(filepath.Join(p.order.Dir, "route.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, traffic.Route{}
	}
	var file struct {
		Accepted struct {
			Fence uint64        `json:"fence"`
			Route traffic.Route `json:"route"`
		} `json:"accepted"`
	}
	if err == nil {
		err = json.Unmarshal(data, &file)
	}
	if err != nil {
		p.t.Fatalf("after %d kills the proxy's file: %v", p.kills, err)
	}
	return file.Accepted.Fence, file.Accepted.Route
}

// readOn reads what was written to the diary since it was read last.
func (p *parent) readOn() []line {
	p.t.Helper()
	f, err := os.Open(filepath.Join(p.order.Dir, "diary"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(p.read, io.SeekStart); err != nil {
		p.t.Fatal(err)
	}
	known := len(p.diary)
	for decoder := json.NewDecoder(f); ; {
		var l line
		err := decoder.Decode(&l)
		if errors.Is(err, io.EOF) {
			return p.diary[known:]
		}
		if err != nil {
			p.t.Fatal(err)
		}
		p.diary = append(p.diary, l)
		if p.read, err = f.Seek(0, io.SeekCurrent); err != nil {
			p.t.Fatal(err)
		}
	}
}

// wholeStory goes through the diary of all processes as if they had been one.
func (p *parent) wholeStory() {
	p.t.Helper()
	var rev, seq, fence uint64
	var last traffic.Route
	var inside []time.Duration
	accepted := map[string][]traffic.Weight{} // by candidate
	ended := map[uint64]strategy.Phase{}
	for i, l := range p.diary {
		switch l.What {
		case "saved":
			if l.Rev <= rev || l.Seq < seq {
				p.t.Fatalf("line %d: rev %d, seq %d was saved after rev %d, seq %d", i, l.Rev, l.Seq, rev, seq)
			}
			rev, seq = l.Rev, l.Seq
		case "try":
			if l.Fence < fence || l.Fence == fence && !l.Route.Equal(last) {
				p.t.Fatalf("line %d: %v under fence %d was tried after %v under %d", i, l.Route, l.Fence, last, fence)
			}
			fence, last = l.Fence, l.Route
			weights := accepted[l.Route.Arms.Candidate]
			if len(weights) == 0 || weights[len(weights)-1] != l.Route.Split.Candidate {
				accepted[l.Route.Arms.Candidate] = append(weights, l.Route.Split.Candidate)
			}
		case "resumed":
			inside = append(inside, l.Took)
		case "ended":
			ended[l.Run] = l.Phase
		}
	}
	if len(ended) <= p.kills/100 {
		p.t.Errorf("only %d runs ended in %d kills", len(ended), p.kills)
	}
	good, failed := ladder()
	for run := range uint64(len(ended)) {
		phase, want := strategy.Promoted, good
		if bad(run + 1) {
			phase, want = strategy.RolledBack, failed
		}
		if ended[run+1] != phase {
			p.t.Errorf("run %d ended %v, want %v", run+1, ended[run+1], phase)
		}
		if got := accepted[version(run+1)]; !slices.Equal(got, want) {
			p.t.Errorf("run %d went through %v, want %v", run+1, got, want)
		}
	}
	p.t.Logf("%d runs, %d saves, %d lives got through their first turn", len(ended), rev, len(inside))
	p.t.Logf("from the start of main to the end of the first turn: %s", spread(inside))
}

// ladder is what every good and every bad candidate must go through.
func ladder() (good, failed []traffic.Weight) {
	plan, err := canary().Plan()
	if err != nil {
		panic(err)
	}
	good = []traffic.Weight{0}
	for _, step := range plan.Lanes[0].Steps {
		good = append(good, step.Set[0].Split.Candidate)
	}
	return good, append(slices.Clone(good[:badStep+2]), 0)
}

func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	at := func(part float64) time.Duration {
		return all[int(part*float64(len(all)-1))].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %v, p99 %v, max %v of %d", at(0.5), at(0.99), at(1), len(all))
}
