// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package lambda_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/aws/awstest"
	"github.com/rheostat-go/rheostat/traffic/aws/lambda"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

const (
	function = "checkout"
	live     = "live"
	words    = "what the users call (payments team) [see the wiki]"
)

var arms = traffic.Arms{Stable: "41", Candidate: "42"}

func route(w traffic.Weight) traffic.Route {
	return traffic.Route{Arms: arms, Split: traffic.Split{Candidate: w}}
}

func newServer(t *testing.T) *awstest.Server {
	t.Helper()
	s := awstest.New()
	t.Cleanup(s.Close)
	for _, version := range []string{"40", "41", "42"} {
		s.Functions.AddVersion(function, version, awstest.Version{Role: "runner"})
	}
	s.Functions.AddVersion(function, "43", awstest.Version{Role: "another"})
	s.Functions.AddAlias(function, live, "41", words)
	return s
}

func options() lambda.Options {
	return lambda.Options{Function: function, Alias: live, Lag: time.Millisecond}
}

func newRouter(t *testing.T, s *awstest.Server) *lambda.Router {
	t.Helper()
	r, err := lambda.New(awslambda.NewFromConfig(s.Config()), options())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func foreign(s *awstest.Server, r traffic.Route) error {
	switch r.Split.Candidate {
	case 0:
		return s.Functions.Shift(function, live, r.Arms.Stable, "", 0)
	case traffic.Full:
		return s.Functions.Shift(function, live, r.Arms.Candidate, "", 0)
	}
	// Another tool may put the candidate first.
	return s.Functions.Shift(function, live, r.Arms.Candidate, r.Arms.Stable, 1-float64(r.Split.Candidate)/1e6)
}

// The suite counts goroutines, so it runs alone.
func TestConformance(t *testing.T) {
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		t.Helper()
		s := newServer(t)
		subject := traffictest.Subject{
			Arms: arms,
			Send: func(context.Context, traffictest.Request) (traffictest.Answer, error) {
				return traffictest.Answer{Arm: s.Functions.Pick(function, live)}, nil
			},
			Foreign: func(_ context.Context, r traffic.Route, _ string) error { return foreign(s, r) },
			Rest: func(context.Context) (string, error) {
				text, _, _ := strings.Cut(s.Functions.Description(function, live), " [rheostat ")
				return text, nil
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
		subject.Another = func(context.Context) (traffic.Router, error) { return newRouter(t, s), nil }
		subject.Restart = func(context.Context) (traffictest.Subject, error) {
			subject.Router = newRouter(t, s)
			return subject, nil
		}
		subject.Router = newRouter(t, s)
		return subject
	})
}

func TestALostReplyIsFoundOutBySelf(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Fail("UpdateAlias", awstest.Failure{Kind: awstest.Lost})
	if err := newRouter(t, s).Apply(t.Context(), 1, route(traffic.Full)); err != nil {
		t.Errorf("a write that was carried out and whose reply was lost: %v, want no error", err)
	}
}

func TestAThrottledCallIsRetried(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Fail("UpdateAlias", awstest.Throttled("UpdateAlias"))
	s.Fail("GetAlias", awstest.Throttled("GetAlias"))
	if err := newRouter(t, s).Apply(t.Context(), 1, route(traffic.Full)); err != nil {
		t.Error(err)
	}
}

// meddler lets somebody else be faster with each write.
type meddler struct {
	lambda.API
	before func()
}

func (m meddler) UpdateAlias(ctx context.Context, in *awslambda.UpdateAliasInput, o ...func(*awslambda.Options)) (*awslambda.UpdateAliasOutput, error) {
	m.before()
	return m.API.UpdateAlias(ctx, in, o...)
}

func TestWhoWasFasterIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		faster func(s *awstest.Server, n int) error
		want   error
	}{
		{"a higher fence", func(s *awstest.Server, _ int) error { return newRouter(t, s).Apply(t.Context(), 9, route(500_000)) }, traffic.ErrFenced},
		{"another tool each time", func(s *awstest.Server, n int) error { return foreign(s, route(traffic.Weight(n)*1000)) }, traffic.ErrConflict},
		{"another tool once", func(s *awstest.Server, n int) error {
			if n > 1 {
				return nil
			}
			return foreign(s, route(0))
		}, nil},
	} {
		s := newServer(t)
		n := 0
		r, err := lambda.New(meddler{awslambda.NewFromConfig(s.Config()), func() {
			n++
			if err := c.faster(s, n); err != nil {
				t.Error(err)
			}
		}}, options())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Apply(t.Context(), 8, route(traffic.Full)); !errors.Is(err, c.want) {
			t.Errorf("%s: Apply: %v, want %v", c.name, err, c.want)
		}
		if n > 10 {
			t.Errorf("%s: tried %d times", c.name, n)
		}
	}
}

func TestWhatLambdaRefusesIsShown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ candidate, want string }{
		{"$LATEST", "publish a version"},
		{"43", "same execution role"},
		{"99", "ResourceNotFoundException"},
	} {
		s := newServer(t)
		r := newRouter(t, s)
		before := s.Functions.Description(function, live)
		half := traffic.Route{Arms: traffic.Arms{Stable: "41", Candidate: c.candidate}, Split: traffic.Split{Candidate: traffic.Full / 2}}
		if err := r.Apply(t.Context(), 1, half); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Apply with %s: %v, want %q", c.candidate, err, c.want)
		}
		if after := s.Functions.Description(function, live); after != before {
			t.Errorf("the fence of a refused write was used up: %q", after)
		}
	}
}

func TestTheDescriptionKeepsItsWords(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := newRouter(t, s)
	for i := range 3 {
		if err := r.Apply(t.Context(), uint64(i+1), route(traffic.Weight(i)*10_000)); err != nil { //nolint:gosec // small
			t.Fatal(err)
		}
	}
	if got, want := s.Functions.Description(function, live), words+" [rheostat fence=3&stable=41&candidate=42&weight=20000]"; got != want {
		t.Errorf("the description is %q, want %q", got, want)
	}

	s.Functions.AddAlias(function, live, "41", strings.Repeat("ü", 250))
	err := r.Apply(t.Context(), 4, route(0))
	if err == nil || !strings.Contains(err.Error(), "description: with the fence") {
		t.Errorf("Apply where the fence does not fit: %v, want an error about it", err)
	}

	s.Functions.AddAlias(function, live, "41", "")
	if err := r.Apply(t.Context(), 5, route(0)); err != nil {
		t.Fatal(err)
	}
	if got := s.Functions.Description(function, live); !strings.HasPrefix(got, "[rheostat ") {
		t.Errorf("without words the description is %q", got)
	}
}

func TestForeignVersionsAreShown(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := newRouter(t, s)
	if err := r.Apply(t.Context(), 1, route(0)); err != nil {
		t.Fatal(err)
	}
	if err := s.Functions.Shift(function, live, "40", "41", 0.25); err != nil {
		t.Fatal(err)
	}
	want := traffic.Route{Arms: traffic.Arms{Stable: "40", Candidate: "41"}, Split: traffic.Split{Candidate: 250_000}}
	seen, err := r.Observe(t.Context())
	if err != nil || !seen.Route.Equal(want) || seen.Fence != 0 {
		t.Errorf("Observe shows %v under %d, %v; want %v under 0", seen.Route, seen.Fence, err, want)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	client := awslambda.New(awslambda.Options{})
	for _, c := range []struct {
		want string
		api  lambda.API
		o    lambda.Options
	}{
		{"api", nil, options()},
		{"function", client, lambda.Options{Alias: live}},
		{"alias", client, lambda.Options{Function: function}},
		{"lag", client, lambda.Options{Function: function, Alias: live, Lag: -1}},
	} {
		if _, err := lambda.New(c.api, c.o); err == nil || !strings.HasPrefix(err.Error(), "lambda: "+c.want) {
			t.Errorf("New: %v, want one about %s", err, c.want)
		}
	}
}

func TestCapsAreThoseOfTheMatrix(t *testing.T) {
	t.Parallel()
	r, err := lambda.New(awslambda.New(awslambda.Options{}), lambda.Options{Function: function, Alias: live})
	if err != nil {
		t.Fatal(err)
	}
	routertest.Caps(t, routertest.Row{Router: "traffic/aws/lambda", Caps: r.Caps()})
}
