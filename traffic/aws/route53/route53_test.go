// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package route53_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	r53 "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/aws/awstest"
	"github.com/rheostat-go/rheostat/traffic/aws/route53"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

const (
	zone  = "Z1"
	name  = "shop.example.com"
	fence = "_rheostat.shop.example.com"
)

var arms = traffic.Arms{Stable: "blue", Candidate: "green"}

func route(w traffic.Weight) traffic.Route {
	return traffic.Route{Arms: arms, Split: traffic.Split{Candidate: w}}
}

// newServer has two weighted record sets, of which one is an alias and the other
// has a health check, and neighbours that nobody may touch.
func newServer(t *testing.T, kinds ...string) *awstest.Server {
	t.Helper()
	s := awstest.New()
	t.Cleanup(s.Close)
	s.DNS.AddZone(zone)
	for _, kind := range append(kinds, "A") {
		put(t, s, `<ResourceRecordSet><Name>`+name+`</Name><Type>`+kind+`</Type><SetIdentifier>blue</SetIdentifier><Weight>10</Weight>`+
			`<AliasTarget><HostedZoneId>Z2</HostedZoneId><DNSName>blue.elb.example.</DNSName><EvaluateTargetHealth>true</EvaluateTargetHealth></AliasTarget></ResourceRecordSet>`)
		put(t, s, `<ResourceRecordSet><Name>`+name+`</Name><Type>`+kind+`</Type><SetIdentifier>green</SetIdentifier><Weight>0</Weight><TTL>0</TTL>`+
			`<ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord><ResourceRecord><Value>192.0.2.2</Value></ResourceRecord></ResourceRecords>`+
			`<HealthCheckId>abcd</HealthCheckId></ResourceRecordSet>`)
	}
	put(t, s, `<ResourceRecordSet><Name>`+name+`</Name><Type>MX</Type><TTL>300</TTL><ResourceRecords><ResourceRecord><Value>10 mx.example.</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>`)
	put(t, s, `<ResourceRecordSet><Name>www.example.com</Name><Type>CNAME</Type><TTL>300</TTL><ResourceRecords><ResourceRecord><Value>`+name+`</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>`)
	return s
}

func put(t *testing.T, s *awstest.Server, record string) {
	t.Helper()
	if err := s.DNS.Put(zone, record); err != nil {
		t.Fatal(err)
	}
}

func options() route53.Options {
	return route53.Options{Zone: zone, Name: name, Lag: time.Millisecond, Propagation: 20 * time.Millisecond}
}

func newRouter(t *testing.T, s *awstest.Server, o route53.Options) *route53.Router {
	t.Helper()
	r, err := route53.New(r53.NewFromConfig(s.Config()), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func foreign(s *awstest.Server, r traffic.Route) error {
	candidate := int(r.Split.Candidate / 5000)
	return errors.Join(
		s.DNS.Weigh(zone, name, "A", r.Arms.Stable, 200-candidate),
		s.DNS.Weigh(zone, name, "A", r.Arms.Candidate, candidate),
	)
}

// The suite counts goroutines, so it runs alone.
func TestConformance(t *testing.T) {
	t.Run("at once", func(t *testing.T) { conform(t, 0, "") })
	t.Run("slow, with the fence elsewhere", func(t *testing.T) { conform(t, 3, "notes.example.com") })
}

func conform(t *testing.T, slow int, fenceName string) {
	t.Helper()
	o := options()
	o.Fence = fenceName
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		t.Helper()
		s := newServer(t)
		s.DNS.Slow(slow)
		subject := traffictest.Subject{
			Arms: arms,
			Send: func(context.Context, traffictest.Request) (traffictest.Answer, error) {
				arm, err := s.DNS.Pick(zone, name, "A")
				return traffictest.Answer{Arm: arm}, err
			},
			Foreign: func(_ context.Context, r traffic.Route, _ string) error { return foreign(s, r) },
			Rest:    func(context.Context) (string, error) { return s.DNS.Rest(zone, cmp.Or(fenceName, fence)), nil },
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
		subject.Another = func(context.Context) (traffic.Router, error) { return newRouter(t, s, o), nil }
		subject.Restart = func(context.Context) (traffictest.Subject, error) {
			subject.Router = newRouter(t, s, o)
			return subject, nil
		}
		subject.Router = newRouter(t, s, o)
		return subject
	})
}

func TestAChangeIsProgrammedWhenAllNameServersHaveIt(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.DNS.Slow(-1)
	o := options()
	o.Propagation = time.Hour
	r := newRouter(t, s, o)
	if err := r.Apply(t.Context(), 1, route(traffic.Full)); err != nil {
		t.Fatal(err)
	}
	expect := func(r *route53.Router, want traffic.Evidence) {
		t.Helper()
		seen, err := r.Observe(t.Context())
		if err != nil || !seen.Route.Equal(route(traffic.Full)) || seen.Fence != 1 || seen.Evidence != want {
			t.Errorf("Observe shows %v (%v) under %d, %v; want %v", seen.Route, seen.Evidence, seen.Fence, err, want)
		}
	}
	expect(r, traffic.Written)
	s.DNS.Settle()
	expect(r, traffic.Programmed)
	looks := s.Calls("GetChange")
	expect(r, traffic.Programmed)
	if s.Calls("GetChange") != looks {
		t.Error("a change that is done was asked for again")
	}
	// Another process has no word from AWS, and takes its time.
	expect(newRouter(t, s, o), traffic.Written)
	o.Propagation = time.Nanosecond
	next := newRouter(t, s, o)
	if _, err := next.Observe(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(next, traffic.Programmed)
}

func TestALostReplyIsFoundOutBySelf(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := newRouter(t, s, options())
	s.Fail("ChangeResourceRecordSets", awstest.Failure{Kind: awstest.Lost})
	if err := r.Apply(t.Context(), 1, route(traffic.Full)); err != nil {
		t.Errorf("a write that was carried out and whose reply was lost: %v, want no error", err)
	}
}

func TestPriorRequestNotCompleteIsRetried(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Fail("ChangeResourceRecordSets", awstest.Throttled("ChangeResourceRecordSets"))
	if err := newRouter(t, s, options()).Apply(t.Context(), 1, route(traffic.Full)); err != nil {
		t.Error(err)
	}
}

// meddler lets somebody else be faster with each write.
type meddler struct {
	route53.API
	before func()
}

func (m meddler) ChangeResourceRecordSets(ctx context.Context, in *r53.ChangeResourceRecordSetsInput, o ...func(*r53.Options)) (*r53.ChangeResourceRecordSetsOutput, error) {
	m.before()
	return m.API.ChangeResourceRecordSets(ctx, in, o...)
}

func TestWhoWasFasterIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	client := func(s *awstest.Server) *r53.Client { return r53.NewFromConfig(s.Config()) }
	t.Run("a higher fence", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		faster := newRouter(t, s, options())
		r, err := route53.New(meddler{client(s), func() {
			if err := faster.Apply(t.Context(), 9, route(traffic.Full)); err != nil {
				t.Error(err)
			}
		}}, options())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Apply(t.Context(), 8, route(0)); !errors.Is(err, traffic.ErrFenced) {
			t.Errorf("Apply: %v, want ErrFenced", err)
		}
	})
	t.Run("a higher fence with the weights that were there", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		if err := foreign(s, route(0)); err != nil {
			t.Fatal(err)
		}
		faster := newRouter(t, s, options())
		r, err := route53.New(meddler{client(s), func() {
			if err := faster.Apply(t.Context(), 9, route(0)); err != nil {
				t.Error(err)
			}
		}}, options())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Apply(t.Context(), 8, route(0)); !errors.Is(err, traffic.ErrFenced) {
			t.Errorf("Apply: %v, want ErrFenced", err)
		}
	})
	t.Run("another tool each time", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		weight := 0
		r, err := route53.New(meddler{client(s), func() {
			weight++
			if err := s.DNS.Weigh(zone, name, "A", "blue", weight); err != nil {
				t.Error(err)
			}
		}}, options())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Apply(t.Context(), 8, route(traffic.Full)); !errors.Is(err, traffic.ErrConflict) {
			t.Errorf("Apply: %v, want ErrConflict", err)
		}
		if weight < 2 || weight > 10 {
			t.Errorf("tried %d times, want some", weight)
		}
	})
	t.Run("a changed value", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		once := false
		r, err := route53.New(meddler{client(s), func() {
			if !once {
				once = true
				put(t, s, `<ResourceRecordSet><Name>`+name+`</Name><Type>A</Type><SetIdentifier>green</SetIdentifier><Weight>0</Weight><TTL>0</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.9</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>`)
			}
		}}, options())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Apply(t.Context(), 8, route(traffic.Full)); err != nil {
			t.Fatal(err)
		}
		if rest := s.DNS.Rest(zone, fence); !strings.Contains(rest, "192.0.2.9") {
			t.Errorf("the value that was written meanwhile is lost:\n%s", rest)
		}
	})
}

func TestABatchThatAWSDoesNotWantIsShownAtOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	put(t, s, `<ResourceRecordSet><Name>`+fence+`</Name><Type>CNAME</Type><TTL>300</TTL><ResourceRecords><ResourceRecord><Value>x.example.</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>`)
	err := newRouter(t, s, options()).Apply(t.Context(), 1, route(0))
	if err == nil || errors.Is(err, traffic.ErrConflict) || !strings.Contains(err.Error(), "conflicts with other records") {
		t.Errorf("Apply: %v, want what AWS says", err)
	}
	if n := s.Calls("ChangeResourceRecordSets"); n != 1 {
		t.Errorf("tried %d times, want once", n)
	}
}

func TestAllTypesAreTurnedAtOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, "AAAA")
	o := options()
	o.Types = []types.RRType{types.RRTypeA, types.RRTypeAaaa}
	r := newRouter(t, s, o)
	if err := r.Apply(t.Context(), 1, route(traffic.Full)); err != nil {
		t.Fatal(err)
	}
	if n := s.Calls("ChangeResourceRecordSets"); n != 1 {
		t.Errorf("%d batches, want one", n)
	}
	for _, kind := range []string{"A", "AAAA"} {
		if arm, err := s.DNS.Pick(zone, name, kind); arm != "green" {
			t.Errorf("%s answers %q, %v; want green", kind, arm, err)
		}
	}
	if err := s.DNS.Weigh(zone, name, "AAAA", "blue", 200); err != nil {
		t.Fatal(err)
	}
	if seen, err := r.Observe(t.Context()); err == nil || !strings.Contains(err.Error(), "AAAA says") {
		t.Errorf("types that differ are shown as %v, %v; want an error", seen.Route, err)
	}
	if err := r.Apply(t.Context(), 2, route(traffic.Full)); err != nil {
		t.Errorf("and cannot be put right: %v", err)
	}
}

func TestWhatCannotBeTurnedIsNamed(t *testing.T) {
	t.Parallel()
	third := `<ResourceRecordSet><Name>` + name + `</Name><Type>A</Type><SetIdentifier>third</SetIdentifier><Weight>7</Weight><TTL>0</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.3</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>`
	for _, c := range []struct {
		name, want string
		record     string
		edit       func(*route53.Options)
		route      traffic.Route
		is         error
	}{
		{name: "a third with weight", want: `"third" has weight 7`, record: third, route: route(0), is: traffic.ErrConflict},
		{name: "no such arm", want: `no record set with the identifier "red"`, route: traffic.Route{Arms: traffic.Arms{Stable: "blue", Candidate: "red"}, Split: traffic.Split{Candidate: traffic.Full / 2}}},
		{name: "a long TTL", want: "longer than Options.Lag", record: strings.NewReplacer("third", "green", "<TTL>0", "<TTL>300").Replace(third), route: route(traffic.Full)},
		{name: "no such zone", want: "NoSuchHostedZone", edit: func(o *route53.Options) { o.Zone = "Z9" }, route: route(0)},
		{name: "no such name", want: "zone Z1 has no such record set", edit: func(o *route53.Options) { o.Name = "no.example.com" }, route: route(0)},
		{name: "not weighted", want: "not weighted", edit: func(o *route53.Options) { o.Types = []types.RRType{types.RRTypeMx} }, route: route(0)},
	} {
		s := newServer(t)
		if c.record != "" {
			put(t, s, c.record)
		}
		o := options()
		if c.edit != nil {
			c.edit(&o)
		}
		err := newRouter(t, s, o).Apply(t.Context(), 1, c.route)
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: Apply: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestARecordSetThatGetsNothingMayBeGone(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	home := traffic.Route{Arms: traffic.Arms{Stable: "blue", Candidate: "gone"}}
	r := newRouter(t, s, options())
	if err := r.Apply(t.Context(), 1, home); err != nil {
		t.Fatal(err)
	}
	if seen, err := r.Observe(t.Context()); err != nil || !seen.Route.Equal(home) || seen.Fence != 1 {
		t.Errorf("Observe shows %v under %d, %v; want %v", seen.Route, seen.Fence, err, home)
	}
}

func TestALongTTLDoesNotBarTheWayHome(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := newRouter(t, s, options())
	if err := r.Apply(t.Context(), 1, route(traffic.Full)); err != nil {
		t.Fatal(err)
	}
	put(t, s, `<ResourceRecordSet><Name>`+name+`</Name><Type>A</Type><SetIdentifier>green</SetIdentifier><Weight>200</Weight><TTL>300</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.3</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>`)
	if err := r.Apply(t.Context(), 2, route(0)); err != nil {
		t.Error(err)
	}
}

func TestALongRouteAndAWildcardKeepTheirFence(t *testing.T) {
	t.Parallel()
	s := awstest.New()
	t.Cleanup(s.Close)
	s.DNS.AddZone(zone)
	long := traffic.Arms{Stable: strings.Repeat("ä", 60) + "1", Candidate: strings.Repeat("ä", 60) + "2"}
	for i, id := range []string{long.Stable, long.Candidate} {
		put(t, s, fmt.Sprintf(`<ResourceRecordSet><Name>*.example.com</Name><Type>A</Type><SetIdentifier>%s</SetIdentifier><Weight>%d</Weight><TTL>0</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>`, id, i))
	}
	o := options()
	o.Name = "*.Example.com."
	r := newRouter(t, s, o)
	want := traffic.Route{Arms: long, Split: traffic.Split{Candidate: traffic.Percent(5)}}
	if err := r.Apply(t.Context(), 7, want); err != nil {
		t.Fatal(err)
	}
	seen, err := newRouter(t, s, o).Observe(t.Context())
	if err != nil || seen.Fence != 7 || !seen.Route.Equal(want) {
		t.Errorf("Observe shows %v under %d, %v", seen.Route, seen.Fence, err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	client := r53.New(r53.Options{})
	for _, c := range []struct {
		want string
		api  route53.API
		o    route53.Options
	}{
		{"api", nil, options()},
		{"zone", client, route53.Options{Name: name}},
		{"name", client, route53.Options{Zone: zone}},
		{"lag", client, route53.Options{Zone: zone, Name: name, Lag: -1}},
		{"fence", client, route53.Options{Zone: zone, Name: name, Fence: name + "."}},
	} {
		if _, err := route53.New(c.api, c.o); err == nil || !strings.HasPrefix(err.Error(), "route53: "+c.want) {
			t.Errorf("New: %v, want one about %s", err, c.want)
		}
	}
}

// The server that these tests talk to must be no more patient than AWS.
func TestTheServerRefusesWhatRoute53Does(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	client := r53.NewFromConfig(s.Config())
	record := func(edit func(*types.ResourceRecordSet)) types.Change {
		set := types.ResourceRecordSet{
			Name: aws.String(name), Type: types.RRTypeA, SetIdentifier: aws.String("new"), Weight: aws.Int64(255), TTL: aws.Int64(60),
			ResourceRecords: []types.ResourceRecord{{Value: aws.String("192.0.2.1")}},
		}
		edit(&set)
		return types.Change{Action: types.ChangeActionCreate, ResourceRecordSet: &set}
	}
	for _, c := range []struct {
		want string
		edit func(*types.ResourceRecordSet)
	}{
		{"InvalidInput", func(s *types.ResourceRecordSet) { s.Weight = aws.Int64(256) }},
		{"InvalidInput", func(s *types.ResourceRecordSet) { s.TTL = aws.Int64(1 << 31) }},
		{"InvalidInput", func(s *types.ResourceRecordSet) { s.SetIdentifier = nil }},
		{"already exists", func(s *types.ResourceRecordSet) { s.SetIdentifier = aws.String("blue") }},
		{"conflicts", func(s *types.ResourceRecordSet) { s.SetIdentifier, s.Weight = nil, nil }},
		{"", func(*types.ResourceRecordSet) {}},
	} {
		_, err := client.ChangeResourceRecordSets(t.Context(), &r53.ChangeResourceRecordSetsInput{
			HostedZoneId: aws.String(zone), ChangeBatch: &types.ChangeBatch{Changes: []types.Change{record(c.edit)}},
		})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestCapsAreThoseOfTheMatrix(t *testing.T) {
	t.Parallel()
	r, err := route53.New(r53.New(r53.Options{}), route53.Options{Zone: zone, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	routertest.Caps(t, routertest.Row{Router: "traffic/aws/route53", Caps: r.Caps()})
}
