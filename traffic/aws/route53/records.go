// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package route53

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	r53 "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/aws/internal/note"
)

const (
	maxPages   = 20  // of a list that are read
	noteTTL    = 60  // seconds; nobody resolves it
	maxStrings = 255 // characters in one string of a TXT record
)

// records is what a zone has of a name.
type records struct {
	weighted map[types.RRType][]types.ResourceRecordSet
	txt      *types.ResourceRecordSet
	note     note.Note
}

// read is the record sets of the name and the TXT record, of one moment.
func (r *Router) read(ctx context.Context) (*records, error) {
	named, noted, err := r.readBoth(ctx)
	if err != nil {
		return nil, err
	}
	now := &records{weighted: map[types.RRType][]types.ResourceRecordSet{}}
	for _, kind := range r.o.Types {
		for _, set := range named {
			if set.Type != kind {
				continue
			}
			if set.Weight == nil || aws.ToString(set.SetIdentifier) == "" {
				return nil, fmt.Errorf("%s %s: its routing policy is not weighted", r.o.Name, kind)
			}
			now.weighted[kind] = append(now.weighted[kind], set)
		}
		if len(now.weighted[kind]) == 0 {
			return nil, fmt.Errorf("%s %s: zone %s has no such record set", r.o.Name, kind, r.o.Zone)
		}
	}
	for _, set := range noted {
		if set.Type != types.RRTypeTxt {
			continue
		}
		now.txt = &set
		if len(set.ResourceRecords) == 1 {
			now.note, _ = note.Parse(unquote(aws.ToString(set.ResourceRecords[0].Value)))
		}
	}
	return now, nil
}

// readBoth lists what has the name and what has the fence's. One page has both
// if the one lies below the other, unless there is much in between; AWS allows
// an account five calls a second. Otherwise the fence must be the same before and after.
func (r *Router) readBoth(ctx context.Context) (named, noted []types.ResourceRecordSet, err error) {
	page, err := r.page(ctx, &r53.ListResourceRecordSetsInput{HostedZoneId: &r.o.Zone, StartRecordName: &r.o.Name})
	if err != nil {
		return nil, nil, err
	}
	for _, set := range page.ResourceRecordSets {
		switch canonical(aws.ToString(set.Name)) {
		case r.o.Name:
			named = append(named, set)
		case r.o.Fence:
			noted = append(noted, set)
		}
	}
	if strings.HasSuffix(r.o.Fence, "."+r.o.Name) && (len(noted) > 0 || !page.IsTruncated) {
		return named, noted, nil
	}
	for range tries {
		if noted, err = r.list(ctx, r.o.Fence); err != nil {
			return nil, nil, err
		}
		if named, err = r.list(ctx, r.o.Name); err != nil {
			return nil, nil, err
		}
		after, err := r.list(ctx, r.o.Fence)
		if err != nil {
			return nil, nil, err
		}
		if reflect.DeepEqual(noted, after) {
			return named, noted, nil
		}
	}
	return nil, nil, fmt.Errorf("%s changes all the time", r.o.Fence)
}

// list is all record sets of one name.
func (r *Router) list(ctx context.Context, name string) ([]types.ResourceRecordSet, error) {
	in := &r53.ListResourceRecordSetsInput{HostedZoneId: &r.o.Zone, StartRecordName: &name}
	var found []types.ResourceRecordSet
	for range maxPages {
		out, err := r.page(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, set := range out.ResourceRecordSets {
			if canonical(aws.ToString(set.Name)) != name {
				return found, nil // the list is in the order of names
			}
			found = append(found, set)
		}
		if !out.IsTruncated {
			return found, nil
		}
		in.StartRecordName, in.StartRecordType, in.StartRecordIdentifier = out.NextRecordName, out.NextRecordType, out.NextRecordIdentifier
	}
	return nil, fmt.Errorf("list record sets: more than %d pages of %s", maxPages, name)
}

func (r *Router) page(ctx context.Context, in *r53.ListResourceRecordSetsInput) (*r53.ListResourceRecordSetsOutput, error) {
	out, err := r.api.ListResourceRecordSets(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("list record sets: %w", err)
	}
	return out, nil
}

// route is the split that the weights make, of which all types must agree.
func (n *records) route(kinds []types.RRType) (traffic.Route, error) {
	var agreed traffic.Route
	for i, kind := range kinds {
		var shares []note.Share
		for _, set := range n.weighted[kind] {
			shares = append(shares, note.Share{Arm: aws.ToString(set.SetIdentifier), Parts: uint64(max(aws.ToInt64(set.Weight), 0))}) //nolint:gosec // not below 0
		}
		route, err := note.Arrange(n.note.Route.Arms, shares)
		if err != nil {
			return traffic.Route{}, fmt.Errorf("%s: %w", kind, err)
		}
		if i > 0 && !route.Equal(agreed) {
			return traffic.Route{}, fmt.Errorf("%s says %q and %s says %q", kinds[0], agreed, kind, route)
		}
		agreed = route
	}
	return agreed, nil
}

// holds reports whether want is in force and noted.
func (n *records) holds(want note.Note) bool {
	if n.note.Fence != want.Fence || !n.note.Route.Equal(want.Route) {
		return false
	}
	route, err := n.route(slices.Sorted(maps.Keys(n.weighted)))
	return err == nil && route.Equal(want.Route)
}

// key tells one state of the records from another.
func (n *records) key(route traffic.Route) string { return n.note.String() + " " + route.String() }

// state is everything that a batch depends on, as text.
func (n *records) state() (string, error) {
	text, err := json.Marshal([]any{n.weighted, n.txt})
	if err != nil {
		return "", fmt.Errorf("compare record sets: %w", err)
	}
	return string(text), nil
}

// changes is the batch that brings want: what was read goes, whole, or the batch
// fails, and comes back with its new weight.
func (n *records) changes(want note.Note, o Options) ([]types.Change, error) {
	var gone, here []types.Change
	replace := func(old *types.ResourceRecordSet, next types.ResourceRecordSet) {
		if old != nil {
			gone = append(gone, types.Change{Action: types.ChangeActionDelete, ResourceRecordSet: old})
		}
		here = append(here, types.Change{Action: types.ChangeActionCreate, ResourceRecordSet: &next})
	}
	candidate := int64(want.Route.Split.Candidate / (traffic.Full / sum))
	weights := map[string]int64{want.Route.Arms.Stable: sum - candidate, want.Route.Arms.Candidate: candidate}
	for _, kind := range o.Types {
		missing := maps.Clone(weights)
		for _, set := range n.weighted[kind] {
			weight, arm := weights[aws.ToString(set.SetIdentifier)]
			switch ttl := time.Duration(aws.ToInt64(set.TTL)) * time.Second; {
			case !arm && aws.ToInt64(set.Weight) > 0:
				return nil, fmt.Errorf("%s %s %q has weight %d and is no arm; give it 0: %w", o.Name, kind, aws.ToString(set.SetIdentifier), *set.Weight, traffic.ErrConflict)
			case !arm:
				continue
			case ttl > o.Lag && candidate > 0:
				return nil, fmt.Errorf("%s %s %q has a TTL of %v, longer than Options.Lag (%v); raise the one or lower the other", o.Name, kind, aws.ToString(set.SetIdentifier), ttl, o.Lag)
			}
			delete(missing, aws.ToString(set.SetIdentifier))
			next := set
			next.Weight = &weight
			replace(&set, next)
		}
		for _, arm := range slices.Sorted(maps.Keys(missing)) {
			if missing[arm] > 0 { // an arm that gets nothing may be gone
				return nil, fmt.Errorf("%s %s: zone %s has no record set with the identifier %q", o.Name, kind, o.Zone, arm)
			}
		}
	}
	replace(n.txt, types.ResourceRecordSet{
		Name: &o.Fence, Type: types.RRTypeTxt, TTL: aws.Int64(noteTTL),
		ResourceRecords: []types.ResourceRecord{{Value: aws.String(quote(want.String()))}},
	})
	return append(gone, here...), nil
}

// canonical is a name as Route 53 lists it.
func canonical(name string) string {
	return strings.ReplaceAll(strings.TrimSuffix(strings.ToLower(name), "."), "*", `\052`) + "."
}

// quote is the value of a TXT record; text has no quotation marks.
func quote(text string) string {
	var parts []string
	for part := range slices.Chunk([]byte(text), maxStrings) {
		parts = append(parts, strconv.Quote(string(part)))
	}
	return strings.Join(parts, " ")
}

// unquote reads what quote writes.
func unquote(value string) string {
	return strings.ReplaceAll(strings.Trim(value, `"`), `" "`, "")
}
