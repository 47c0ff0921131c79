// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/internal/script"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
	"github.com/rheostat-go/rheostat/traffic"
)

// TestTraces plays the stories in testdata: one file a story, made to be read.
func TestTraces(t *testing.T) {
	t.Parallel()
	script.Each(t, "testdata/*.txt", func(t *testing.T) func(script.Cmd) string {
		s := &stage{t: t, World: strategytest.NewWorld()}
		return s.handle
	})
}

// stage is the world of one trace.
type stage struct {
	*strategytest.World
	t    *testing.T
	plan strategy.Plan
	// began is the origin of the times printed.
	began time.Time
}

func (s *stage) handle(cmd script.Cmd) string {
	s.t.Helper()
	for i, a := range cmd.Args {
		if a.Key == "" {
			cmd.Args[i] = script.Arg{Key: a.Value}
		}
	}
	args := arguments{s.t, cmd}
	switch cmd.Name {
	case "plan":
		return s.setPlan(strategy.ParsePlan([]byte(strings.Join(cmd.Input, "\n"))))
	case "canary":
		return s.setPlan(strategy.Canary{
			Target: "web", Weights: args.weights("weights"), Hold: args.duration("hold"), Min: args.duration("min"),
			Bake: args.duration("bake"), Checks: args.list("checks"), Watch: args.list("watch"), Before: args.list("before"),
			Back: strategy.Back{Stride: args.weight("stride"), Pace: args.duration("pace"), Before: args.list("back")},
		}.Plan())
	case "bluegreen":
		b := strategy.BlueGreen{
			Target: "web", PreviewHold: args.duration("preview"), PreviewChecks: args.list("previewchecks"), Bake: args.duration("bake"),
			Checks: args.list("checks"), Before: args.list("before"), Release: args.list("release"), OneWay: args.has("oneway"),
		}
		if args.has("approval") {
			b.Approval = &strategy.Approval{}
		}
		return s.setPlan(b.Plan())
	case "start":
		return s.start(args)
	case "run":
		return s.run(args.duration("for"), args.text("until"))
	case "step":
		s.Now = s.Now.Add(args.duration("after"))
		d, err := s.Step()
		if err != nil {
			return err.Error()
		}
		return s.line(d)
	case "judge":
		for _, a := range cmd.Args {
			var v analysis.Verdict
			s.check(v.UnmarshalText([]byte(a.Value)))
			s.Verdicts[a.Key] = v
		}
	case "task":
		for _, a := range cmd.Args {
			var status strategy.TaskStatus
			s.check(status.UnmarshalText([]byte(a.Value)))
			s.Tasks[a.Key] = status
		}
	case "operator":
		s.operator(args)
	case "world":
		s.world(args)
	case "explain":
		return s.Machine.Explain(s.Now, s.State, s.Observe()).Summary
	case "show":
		return s.show()
	default:
		s.t.Fatalf("%s: unknown command %q", cmd.Pos, cmd.Name)
	}
	return ""
}

func (s *stage) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) setPlan(p strategy.Plan, err error) string {
	if err != nil {
		return err.Error()
	}
	s.plan = p
	var b strings.Builder
	for _, lane := range p.Lanes {
		for _, step := range lane.Steps {
			fmt.Fprintf(&b, "%s:", lane.Name)
			for _, d := range step.Set {
				fmt.Fprintf(&b, " %s %v", d.Target, d.Split.Candidate)
				if len(d.Split.Match) > 0 {
					fmt.Fprintf(&b, " and %d match", len(d.Split.Match))
				}
			}
			fmt.Fprintf(&b, " hold %v\n", step.Hold)
		}
	}
	return b.String()
}

func (s *stage) start(args arguments) string {
	release := strategy.Release{Stable: args.revision("stable"), Candidate: args.revision("candidate")}
	var override strategy.Override
	if args.has("override") {
		override = strategy.Override{By: args.text("override"), Why: args.text("why")}
	}
	before := s.State.Rev
	if err := s.World.Start(release, s.plan, override); err != nil {
		return err.Error()
	}
	if s.State.Rev == before {
		return "no change"
	}
	if journal := s.State.Journal(); s.State.Phase == strategy.Progressing && journal[len(journal)-1].Kind == strategy.RunStarted {
		s.began = s.State.Began
	}
	return s.last()
}

func (s *stage) last() string {
	journal := s.State.Journal()
	return strategytest.Line(journal[len(journal)-1], s.began)
}

// run steps for a time, waking when the machine asks for it.
func (s *stage) run(limit time.Duration, until string) string {
	var b strings.Builder
	end := s.Now.Add(limit)
	for range 10_000 {
		d, err := s.Step()
		s.check(err)
		if line := s.line(d); line != "" {
			b.WriteString(line)
		}
		switch {
		case until != "" && d.Transition.Kind.String() == until:
			return b.String()
		case d.Wake.IsZero():
			return b.String()
		case d.Wake.After(end):
			s.Now = end
			if _, err := s.Machine.Step(s.Now, s.State, s.Observe()); err != nil {
				s.t.Fatal(err)
			}
			return b.String()
		case d.Wake.After(s.Now):
			s.Now = d.Wake
		}
	}
	s.t.Fatal("the machine does not come to rest")
	return ""
}

func (s *stage) line(d strategy.Decision) string {
	if d.Transition.Kind == 0 && len(d.Effects) == 0 {
		return ""
	}
	line := fmt.Sprintf("+%-8s      asked again", s.Now.Sub(s.began))
	if d.Transition.Kind != 0 {
		line = strategytest.Line(d.Transition, s.began)
	}
	for _, e := range d.Effects {
		switch e := e.(type) {
		case *strategy.SetRoute:
			line += fmt.Sprintf(" | set %s %s:%v", e.Target, e.Route.Arms.Candidate, e.Route.Split.Candidate)
			if n := len(e.Route.Split.Match); n > 0 {
				line += fmt.Sprintf(" and %d match", n)
			}
			if e.Fence != d.State.Seq {
				line += fmt.Sprintf(" #%d", e.Fence)
			}
		case *strategy.DoTask:
			line += " | do " + e.Ref.Name
		case *strategy.UndoTask:
			line += " | undo " + e.Ref.Name
		}
	}
	return line + "\n"
}

func (s *stage) operator(args arguments) {
	i := &s.Intent
	for _, a := range args.Cmd.Args {
		switch a.Key {
		case "hold":
			i.Hold = a.Value != "off"
		case "abort":
			i.Abort = a.Value != "off"
		case "promote":
			i.Promote = a.Value != "off"
		case "resume":
			i.Resume = s.State.Hold.ID
		case "want":
			i.Want = strategy.Revision{Version: a.Value}
		case "waive":
			i.Waive = append(i.Waive, ref(a.Value))
		case "approve":
			digest := s.State.Plan.Digest()
			if args.has("digest") {
				digest = args.text("digest")
			}
			i.Approvals = append(i.Approvals, strategy.Grant{StepRef: ref(a.Value), Digest: digest, By: args.text("by")})
		case "by":
			i.By = a.Value
		case "why":
			i.Why = a.Value
		case "unknown":
			s.Unknown = a.Value != "off"
		case "nobody":
			*i = strategy.Intent{}
		}
	}
}

func ref(text string) strategy.StepRef {
	lane, step, _ := strings.Cut(text, "/")
	return strategy.StepRef{Lane: lane, Step: step}
}

func (s *stage) world(args arguments) {
	target := s.Target("web")
	if args.has("target") {
		target = s.Target(args.text("target"))
	}
	for _, a := range args.Cmd.Args {
		switch a.Key {
		case "foreign":
			w := args.weight("foreign")
			s.Foreign("web", args.text("by"), func(r *traffic.Route) { r.Split.Candidate = w })
		case "forget":
			target.Seen = traffic.Seen{Evidence: traffic.Effective, Room: traffic.Plenty}
		case "room":
			stable, candidate, known := strings.Cut(a.Value, "/")
			target.Seen.Room = traffic.Room{Known: known}
			if known {
				target.Seen.Room.Stable, target.Seen.Room.Candidate = s.parse(stable), s.parse(candidate)
			}
		case "blind":
			target.Blind = a.Value != "off"
		case "broken":
			target.Broken = a.Value != "off"
		case "evidence":
			s.check(target.Seen.Evidence.UnmarshalText([]byte(a.Value)))
		case "deaf":
			s.Deaf = a.Value != "off"
		case "restart":
			s.Restart()
		case "clock":
			d, err := time.ParseDuration(a.Value)
			s.check(err)
			s.Jump(d)
		case "lag":
			d, err := time.ParseDuration(a.Value)
			s.check(err)
			target.Caps.Lag = d
		case "block":
			s.Blocks = nil
			if a.Value != "off" {
				s.Blocks = []strategy.Block{{Why: a.Value}}
			}
		case "fence":
			n, err := strconv.ParseUint(a.Value, 10, 64)
			s.check(err)
			target.Seen.Fence = n
		}
	}
}

func (s *stage) parse(text string) traffic.Weight {
	w, err := traffic.ParseWeight(text)
	s.check(err)
	return w
}

func (s *stage) show() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v run=%d rev=%d seq=%d", s.State.Phase, s.State.Run, s.State.Rev, s.State.Seq)
	if s.State.Cause != strategy.NoCause {
		fmt.Fprintf(&b, " cause=%q", s.State.Cause)
	}
	if s.State.LastGood.Version != "" {
		fmt.Fprintf(&b, " lastgood=%s", s.State.LastGood.Version)
	}
	for _, q := range s.State.Quarantine {
		fmt.Fprintf(&b, " quarantined=%s", q.Revision.Version)
	}
	b.WriteByte('\n')
	for _, t := range s.State.Targets {
		seen := s.Target(t.Name).Seen
		fmt.Fprintf(&b, "%s: %v\n", t.Name, seen.Route)
	}
	return b.String()
}

// arguments read a command's key=value pairs.
type arguments struct {
	t *testing.T
	script.Cmd
}

func (a arguments) text(key string) string {
	for _, arg := range a.Args {
		if arg.Key == key {
			return arg.Value
		}
	}
	return ""
}

func (a arguments) has(key string) bool {
	for _, arg := range a.Args {
		if arg.Key == key {
			return true
		}
	}
	return false
}

func (a arguments) list(key string) []string {
	if a.text(key) == "" {
		return nil
	}
	return strings.Split(a.text(key), ",")
}

func (a arguments) duration(key string) time.Duration {
	a.t.Helper()
	if a.text(key) == "" {
		return 0
	}
	d, err := time.ParseDuration(a.text(key))
	if err != nil {
		a.t.Fatalf("%s: %v", a.Pos, err)
	}
	return d
}

func (a arguments) weight(key string) traffic.Weight {
	a.t.Helper()
	if a.text(key) == "" {
		return 0
	}
	w, err := traffic.ParseWeight(a.text(key))
	if err != nil {
		a.t.Fatalf("%s: %v", a.Pos, err)
	}
	return w
}

func (a arguments) weights(key string) []traffic.Weight {
	var weights []traffic.Weight
	for _, text := range a.list(key) {
		w, err := traffic.ParseWeight(text)
		if err != nil {
			a.t.Fatalf("%s: %v", a.Pos, err)
		}
		weights = append(weights, w)
	}
	return weights
}

func (a arguments) revision(key string) strategy.Revision {
	version, backend, _ := strings.Cut(a.text(key), "@")
	return strategy.Revision{Version: version, Backend: backend}
}
