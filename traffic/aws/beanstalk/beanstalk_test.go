// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package beanstalk_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/aws/awstest"
	"github.com/rheostat-go/rheostat/traffic/aws/beanstalk"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

const cname = "shop-prod"

func newServer(t *testing.T) *awstest.Server {
	t.Helper()
	s := awstest.New()
	t.Cleanup(s.Close)
	s.Beanstalk.Add(awstest.Environment{Application: "shop", Name: "blue", CNAME: cname})
	s.Beanstalk.Add(awstest.Environment{Application: "shop", Name: "green", CNAME: "shop-next"})
	s.Beanstalk.Add(awstest.Environment{Application: "shop", Name: "third", CNAME: "shop-third"})
	return s
}

var arms = traffic.Arms{Stable: "blue", Candidate: "green"}

func options() beanstalk.Options {
	return beanstalk.Options{
		Application: "shop", CNAME: cname, Arms: arms,
		Lag: time.Millisecond, Poll: time.Millisecond, Wait: 10 * time.Second, Doubt: 100 * time.Millisecond,
	}
}

func newRouter(t *testing.T, s *awstest.Server, o beanstalk.Options) *beanstalk.Router {
	t.Helper()
	r, err := beanstalk.New(elasticbeanstalk.NewFromConfig(s.Config()), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func full() traffic.Route {
	return traffic.Route{Arms: arms, Split: traffic.Split{Candidate: traffic.Full}}
}

func home() traffic.Route { return traffic.Route{Arms: arms} }

// The suite counts goroutines, so it runs alone.
func TestConformance(t *testing.T) {
	for name, slow := range map[string]int{"at once": 0, "slow": 3} {
		t.Run(name, func(t *testing.T) { conform(t, slow) })
	}
}

func conform(t *testing.T, slow int) {
	t.Helper()
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		t.Helper()
		s := newServer(t)
		s.Beanstalk.Slow(slow)
		subject := traffictest.Subject{
			Arms: arms,
			Send: func(context.Context, traffictest.Request) (traffictest.Answer, error) {
				return traffictest.Answer{Arm: s.Beanstalk.Pick(cname)}, nil
			},
			Foreign: func(_ context.Context, r traffic.Route, _ string) error {
				if s.Beanstalk.Holder(cname) == r.Serves() {
					return nil
				}
				return s.Beanstalk.Swap(r.Arms.Stable, r.Arms.Candidate)
			},
			Break: func(_ context.Context, f traffictest.Fault) (func(), error) {
				kinds := map[traffictest.Fault]awstest.Kind{
					traffictest.Down: awstest.Down, traffictest.Hanging: awstest.Hanging,
					traffictest.Garbage: awstest.Garbage, traffictest.Deaf: awstest.Lost,
				}
				kind, ok := kinds[f]
				if !ok {
					return nil, errors.ErrUnsupported
				}
				return s.FailAll(awstest.Failure{Kind: kind}), nil
			},
		}
		subject.Another = func(context.Context) (traffic.Router, error) { return newRouter(t, s, options()), nil }
		subject.Restart = func(context.Context) (traffictest.Subject, error) {
			subject.Router = newRouter(t, s, options())
			return subject, nil
		}
		subject.Router = newRouter(t, s, options())
		return subject
	})
}

func TestALostReplyOfASwapIsNotSwappedBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ slow, unseen int }{{0, 0}, {5, 0}, {0, 5}, {5, 5}} {
		s := newServer(t)
		s.Beanstalk.Slow(c.slow)
		s.Beanstalk.Unseen(c.unseen)
		o := options()
		o.Doubt = 5 * time.Second // a swap that shows late
		r := newRouter(t, s, o)
		s.Fail("SwapEnvironmentCNAMEs", awstest.Failure{Kind: awstest.Lost})
		if err := r.Apply(t.Context(), 1, full()); err != nil {
			t.Fatalf("a swap that was carried out and whose reply was lost: %v, want no error", err)
		}
		if err := r.Apply(t.Context(), 1, full()); err != nil {
			t.Fatal(err)
		}
		if n := s.Calls("SwapEnvironmentCNAMEs"); n != 1 {
			t.Errorf("the swap was asked for %d times, want once", n)
		}
		if holder := s.Beanstalk.Holder(cname); holder != "green" {
			t.Errorf("production is on %q, want green", holder)
		}
	}
}

func TestASwapThatNeverArrivedIsAnErrorAndMayBeAskedForAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := newRouter(t, s, options())
	s.Fail("SwapEnvironmentCNAMEs", awstest.Failure{Kind: awstest.Down})
	if err := r.Apply(t.Context(), 1, full()); err == nil {
		t.Fatal("a swap that was never carried out was accepted")
	}
	if n := s.Calls("SwapEnvironmentCNAMEs"); n != 1 {
		t.Fatalf("the swap was asked for %d times in one Apply, want once", n)
	}
	if err := r.Apply(t.Context(), 1, full()); err != nil {
		t.Fatal(err)
	}
}

func TestARefusalByAWSIsShownWithItsCode(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	o := options()
	o.Doubt = time.Hour // a refusal leaves no doubt
	r := newRouter(t, s, o)
	s.Fail("SwapEnvironmentCNAMEs", awstest.Throttled("SwapEnvironmentCNAMEs"))
	if err := r.Apply(t.Context(), 1, full()); err == nil || !strings.Contains(err.Error(), "Throttling") {
		t.Errorf("Apply while throttled: %v, want the code", err)
	}
}

func TestAThrottledLookIsRetried(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := newRouter(t, s, options())
	s.Fail("DescribeEnvironments", awstest.Throttled("DescribeEnvironments"))
	if err := r.Apply(t.Context(), 1, full()); err != nil {
		t.Error(err)
	}
}

func TestApplyWaitsForAnUpdateToEnd(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Beanstalk.Slow(-1)
	r := newRouter(t, s, options())
	done := make(chan error, 1)
	go func() { done <- r.Apply(t.Context(), 1, full()) }()
	for s.Calls("SwapEnvironmentCNAMEs") == 0 || s.Calls("DescribeEnvironments") < 5 {
		select {
		case err := <-done:
			t.Fatalf("Apply returned %v before the swap had ended", err)
		case <-time.After(time.Millisecond):
		}
	}
	seen, err := r.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !seen.Route.Equal(home()) || seen.Evidence != traffic.Written {
		t.Errorf("during the swap Observe shows %v (%v), want the old route, written", seen.Route, seen.Evidence)
	}
	s.Beanstalk.Finish()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAnApplyThatIsGivenUpMayBeContinued(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Beanstalk.Slow(-1)
	o := options()
	o.Wait = 50 * time.Millisecond
	r := newRouter(t, s, o)
	err := r.Apply(t.Context(), 1, full())
	if err == nil || !strings.Contains(err.Error(), `is Updating`) || !strings.Contains(err.Error(), "not known") {
		t.Fatalf("Apply of a swap that does not end: %v, want the environment and that the outcome is not known", err)
	}
	s.Beanstalk.Finish()
	if err := r.Apply(t.Context(), 1, full()); err != nil {
		t.Fatal(err)
	}
	if n := s.Calls("SwapEnvironmentCNAMEs"); n != 1 {
		t.Errorf("the swap was asked for %d times, want once", n)
	}
}

func TestWhatCannotBeSwappedIsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		edit       func(*awstest.Environment)
		home       bool
	}{
		{name: "red", want: `"green": its health is Red`, edit: func(e *awstest.Environment) { e.Health = "Red" }},
		{name: "terminating", want: `"green" is being terminated`, edit: func(e *awstest.Environment) { e.Status = "Terminating" }},
		{name: "terminated", want: `"green": application "shop" has none`, edit: func(e *awstest.Environment) { e.Status = "Terminated" }},
	} {
		s := newServer(t)
		s.Beanstalk.Set("green", c.edit)
		err := newRouter(t, s, options()).Apply(t.Context(), 1, full())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Apply: %v, want %q", c.name, err, c.want)
		}
		if n := s.Calls("SwapEnvironmentCNAMEs"); n != 0 {
			t.Errorf("%s: swapped all the same", c.name)
		}
	}
}

func TestAnEnvironmentThatGetsNothingMayBeGone(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"Terminating", "Terminated"} {
		s := newServer(t)
		s.Beanstalk.Set("green", func(e *awstest.Environment) { e.Status = status })
		if err := newRouter(t, s, options()).Apply(t.Context(), 1, home()); err != nil {
			t.Errorf("green is %s, and blue serves: %v", status, err)
		}
	}
}

func TestTheWayHomeIsOpenWhateverTheHealth(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := newRouter(t, s, options())
	if err := r.Apply(t.Context(), 1, full()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"blue", "green"} {
		s.Beanstalk.Set(name, func(e *awstest.Environment) { e.Health = "Red" })
	}
	if err := r.Apply(t.Context(), 2, home()); err != nil {
		t.Error(err)
	}
}

func TestAThirdEnvironmentIsShownAndNotSwappedWith(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := newRouter(t, s, options())
	if err := s.Beanstalk.Swap("blue", "third"); err != nil {
		t.Fatal(err)
	}
	seen, err := r.Observe(t.Context())
	if err != nil || seen.Route.Serves() != "third" {
		t.Errorf("Observe shows %v, %v; want third", seen.Route, err)
	}
	if err := r.Apply(t.Context(), 1, full()); !errors.Is(err, traffic.ErrConflict) {
		t.Errorf("Apply: %v, want ErrConflict", err)
	}
	if n := s.Calls("SwapEnvironmentCNAMEs"); n != 0 {
		t.Errorf("swapped %d times, want never", n)
	}
}

func TestARouterThatKnowsNoArmsShowsWhoServes(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	o := options()
	o.Arms, o.CNAME = traffic.Arms{}, cname+".eu-west-1.elasticbeanstalk.com"
	seen, err := newRouter(t, s, o).Observe(t.Context())
	if err != nil || seen.Route.Serves() != "blue" || seen.Evidence != traffic.Programmed {
		t.Errorf("Observe shows %v (%v), %v; want blue, programmed", seen.Route, seen.Evidence, err)
	}
}

func TestTheOldEnvironmentIsNeededUntilDNSHasForgottenIt(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	o := options()
	o.Lag = time.Hour
	r := newRouter(t, s, o)
	if until, err := r.NeededUntil(t.Context()); err == nil {
		t.Fatalf("without a swap on record: %v, want an error", until)
	}
	before := time.Now()
	if err := r.Apply(t.Context(), 1, full()); err != nil {
		t.Fatal(err)
	}
	until, err := r.NeededUntil(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if early, late := before.Add(time.Hour), time.Now().Add(time.Hour); until.Before(early.Truncate(time.Millisecond)) || until.After(late) {
		t.Errorf("needed until %v, want between %v and %v", until, early, late)
	}
	s.Beanstalk.Slow(-1)
	s.Beanstalk.Set("green", func(e *awstest.Environment) { e.Status = "Updating" })
	if until, err := r.NeededUntil(t.Context()); err == nil {
		t.Errorf("during an update: %v, want an error", until)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	client := elasticbeanstalk.New(elasticbeanstalk.Options{})
	for _, c := range []struct {
		want string
		api  beanstalk.API
		o    beanstalk.Options
	}{
		{"api", nil, options()},
		{"application", client, beanstalk.Options{CNAME: cname}},
		{"cname", client, beanstalk.Options{Application: "shop"}},
		{"lag", client, beanstalk.Options{Application: "shop", CNAME: cname, Lag: -1}},
	} {
		if _, err := beanstalk.New(c.api, c.o); err == nil || !strings.HasPrefix(err.Error(), "beanstalk: "+c.want) {
			t.Errorf("New: %v, want one about %s", err, c.want)
		}
	}
}

func TestCapsAreThoseOfTheMatrix(t *testing.T) {
	t.Parallel()
	r, err := beanstalk.New(elasticbeanstalk.New(elasticbeanstalk.Options{}), beanstalk.Options{Application: "shop", CNAME: cname})
	if err != nil {
		t.Fatal(err)
	}
	routertest.Caps(t, routertest.Row{Router: "traffic/aws/beanstalk", Caps: r.Caps()})
}
