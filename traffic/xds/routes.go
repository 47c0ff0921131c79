// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/rheostat-go/rheostat/traffic"
)

// pin is the header that no request both has and does not have.
const pin = "x-rheostat-pin"

// newRoutes is the route as a RouteConfiguration: the matches, then the weights,
// then the pins.
func (r *Router) newRoutes(arms map[string][]string, route *traffic.Route) (*routev3.RouteConfiguration, error) {
	var list []*routev3.Route
	switch {
	case route != nil:
		for i, m := range route.Split.Match {
			match, err := r.newMatch(m)
			if err != nil {
				return nil, fmt.Errorf("match[%d]: %w", i, err)
			}
			list = append(list, &routev3.Route{Match: match, Action: forward(r.to(route.Arms.Candidate))})
		}
		list = append(list, r.weighted(route)...)
	case r.options.Default != "":
		list = append(list, &routev3.Route{Match: everything(), Action: forward(r.to(r.options.Default))})
	case len(arms) == 1:
		for arm := range arms {
			list = append(list, &routev3.Route{Match: everything(), Action: forward(r.to(arm))})
		}
	}
	if !r.unpinned {
		list = append(list, r.pins(arms)...)
	}
	return &routev3.RouteConfiguration{
		Name:         r.name,
		VirtualHosts: []*routev3.VirtualHost{{Name: r.name, Domains: []string{"*"}, Routes: list}},
	}, nil
}

// pins name every arm in a route that matches nothing, so that clients keep each
// cluster ready while it has no weight.
func (r *Router) pins(arms map[string][]string) (list []*routev3.Route) {
	for _, arm := range slices.Sorted(maps.Keys(arms)) {
		never := everything()
		for _, absent := range []bool{false, true} {
			never.Headers = append(never.Headers, &routev3.HeaderMatcher{
				Name: pin, InvertMatch: absent,
				HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true},
			})
		}
		list = append(list, &routev3.Route{Name: "pin/" + arm, Match: never, Action: forward(r.to(arm))})
	}
	return list
}

// weighted splits what no match has taken.
func (r *Router) weighted(route *traffic.Route) []*routev3.Route {
	stable, candidate, split := route.Arms.Stable, route.Arms.Candidate, route.Split
	if split.Mirror > 0 {
		return r.mirrored(route)
	}
	weights := make([]*routev3.WeightedCluster_ClusterWeight, 0, 2)
	for _, c := range []struct {
		arm string
		w   traffic.Weight
	}{{stable, traffic.Full - split.Candidate}, {candidate, split.Candidate}} {
		weights = append(weights, &routev3.WeightedCluster_ClusterWeight{Name: r.cluster(c.arm), Weight: wrapperspb.UInt32(uint32(c.w))})
	}
	return []*routev3.Route{{Match: everything(), Action: forward(&routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_WeightedClusters{WeightedClusters: &routev3.WeightedCluster{Clusters: weights}},
	})}}
}

// mirrored splits into two routes, since only stable's requests are copied. An
// Envoy draws one number for a request and holds every fraction against it, so
// those that stable gets have a number from the candidate's weight upwards, and
// copied are the ones from there on.
func (r *Router) mirrored(route *traffic.Route) (list []*routev3.Route) {
	split := route.Split
	if split.Candidate > 0 {
		drawn := everything()
		drawn.RuntimeFraction = fraction(split.Candidate)
		list = append(list, &routev3.Route{Match: drawn, Action: forward(r.to(route.Arms.Candidate))})
	}
	copied := uint64(split.Mirror) * uint64(traffic.Full-split.Candidate) / uint64(traffic.Full)
	rest := r.to(route.Arms.Stable)
	rest.RequestMirrorPolicies = []*routev3.RouteAction_RequestMirrorPolicy{{
		Cluster:         r.cluster(route.Arms.Candidate),
		RuntimeFraction: fraction(split.Candidate + traffic.Weight(copied)), //nolint:gosec // at most Full
	}}
	return append(list, &routev3.Route{Match: everything(), Action: forward(rest)})
}

func fraction(w traffic.Weight) *corev3.RuntimeFractionalPercent {
	return &corev3.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{
		Numerator: uint32(w), Denominator: typev3.FractionalPercent_MILLION,
	}}
}

func everything() *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
}

func (r *Router) to(arm string) *routev3.RouteAction {
	return &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: r.cluster(arm)}}
}

// forward has no timeout: Envoy's own, of 15 seconds, would end every stream.
func forward(a *routev3.RouteAction) *routev3.Route_Route {
	a.Timeout = durationpb.New(0)
	return &routev3.Route_Route{Route: a}
}

// newMatch is one rule. Regular expressions are RE2 and match the whole value.
func (r *Router) newMatch(m traffic.Match) (*routev3.RouteMatch, error) {
	match := everything()
	switch {
	case m.Query != "":
		q := &routev3.QueryParameterMatcher{Name: m.Query}
		q.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_StringMatch{StringMatch: is(m.Value)}
		match.QueryParameters = []*routev3.QueryParameterMatcher{q}
		return match, nil
	case m.Cookie != "":
		if !token(m.Cookie) {
			return nil, fmt.Errorf("cookie %q: a name has letters, digits and dashes", m.Cookie)
		}
		match.Headers = []*routev3.HeaderMatcher{header("cookie", regex(cookiePattern(m.Cookie, m.Value)))}
		return match, nil
	}
	name := strings.ToLower(m.Header)
	if !token(name) {
		return nil, fmt.Errorf("header %q: a name has letters, digits and dashes", m.Header)
	}
	switch {
	case r.options.Envoy && name == "host":
		name = ":authority"
	case !r.options.Envoy && hidden(name):
		return nil, fmt.Errorf("header %q: gRPC clients do not see it when they choose; use one of your own: %w", m.Header, errors.ErrUnsupported)
	}
	match.Headers = []*routev3.HeaderMatcher{header(name, is(m.Value))}
	return match, nil
}

// hidden are headers that gRPC clients leave out when they match, or set later.
func hidden(name string) bool {
	return strings.HasPrefix(name, "grpc-") || strings.HasSuffix(name, "-bin") || slices.Contains([]string{"host", "te", "user-agent"}, name)
}

func header(name string, m *matcherv3.StringMatcher) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: m}}
}

// is matches the value, or any but none if it is empty.
func is(value string) *matcherv3.StringMatcher {
	if value == "" {
		return regex(".+")
	}
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: value}}
}

func regex(pattern string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: pattern}}}
}

// cookiePattern finds one cookie among those of a header, with its value in quotes
// or not. gRPC joins the lines of a header with commas, which no cookie contains.
func cookiePattern(name, value string) string {
	want := `(?:"[^";]+"|[^" \t;,][^;,]*)`
	if value != "" {
		value = regexp.QuoteMeta(value)
		want = `(?:"` + value + `"|` + value + `)`
	}
	return `(?:.*[;,])?[ \t]*` + regexp.QuoteMeta(name) + "=" + want + `[ \t]*(?:[;,].*)?`
}

// token reports whether text can be the name of a header or a cookie (RFC 9110, 5.6.2).
func token(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", c)
	})
}
