// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package unleash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/internal/murmur3"
)

// kind is what a strategy asks for beside its constraints.
type kind uint8

const (
	nobody kind = iota // a strategy that is not known
	everybody
	users
	rollout // a share, by some field
	addresses
)

// The values of stickiness that are no field.
const (
	stickyDefault = "default"
	stickyRandom  = "random"
)

// strategy is one way into a feature.
type strategy struct {
	kind        kind
	constraints []constraint // those of its segments, too
	users       map[string]struct{}
	networks    []netip.Prefix
	percent     float64
	sticky      string
	group       murmur3.Hash // after "group:"
	variants    *variants
}

// feature compiles a feature, but for its parents.
func (b *builder) feature(in *jsonFeature) *feature {
	f := &feature{name: in.Name, enabled: in.Enabled, child: len(in.Dependencies) > 0}
	f.variants = b.variants(in, in.Variants, "variants", in.Name, "")
	for i := range in.Strategies {
		f.strategies = append(f.strategies, b.strategy(in, i))
	}
	b.distinguish(f)
	return f
}

func (b *builder) strategy(in *jsonFeature, i int) strategy {
	raw := &in.Strategies[i]
	path := fmt.Sprintf("strategies[%d]", i)
	s := strategy{kind: everybody}
	for j := range raw.Constraints {
		s.constraints = append(s.constraints, b.constraint(in.Name, fmt.Sprintf("%s.constraints[%d]", path, j), &raw.Constraints[j]))
	}
	for j, id := range raw.Segments {
		list, ok := b.ready[id]
		if !ok {
			b.warn(in.Name, fmt.Sprintf("%s.segments[%d]", path, j), fmt.Errorf("there is no segment %d, so nobody is let in", id))
			list = []constraint{{never: true}}
		}
		s.constraints = append(s.constraints, list...)
	}
	slices.SortStableFunc(s.constraints, func(a, b constraint) int { return int(a.op) - int(b.op) })
	if field, err := s.ask(in, raw); err != nil {
		b.warn(in.Name, path+"."+field, fmt.Errorf("%w, so nobody is let in by it", err))
		s.kind = nobody
	}
	group := string(raw.Parameters["groupId"])
	if group == "" {
		group = in.Name
	}
	s.variants = b.variants(in, raw.Variants, path+".variants", group, s.sticky)
	return s
}

// ask reads what the strategy of that name asks for. The field is where an error is.
func (s *strategy) ask(in *jsonFeature, raw *jsonStrategy) (field string, err error) {
	p := raw.Parameters
	switch raw.Name {
	case "default":
	case "userWithId":
		s.kind, s.users = users, make(map[string]struct{})
		for _, id := range list(p["userIds"]) {
			s.users[id] = struct{}{}
		}
	case "gradualRolloutUserId", "gradualRolloutSessionId", "gradualRolloutRandom":
		s.sticky = map[string]string{"gradualRolloutUserId": fieldUser, "gradualRolloutSessionId": fieldSession, "gradualRolloutRandom": stickyRandom}[raw.Name]
		return "parameters.percentage", s.share(p["percentage"], string(p["groupId"]))
	case "flexibleRollout":
		s.sticky = string(p["stickiness"])
		group := string(p["groupId"])
		if group == "" {
			group = in.Name
		}
		return "parameters.rollout", s.share(p["rollout"], group)
	case "remoteAddress":
		s.kind = addresses
		s.networks = networks(list(p["IPs"]), func(string) {})
	case "applicationHostname":
		s.kind = nobody
		host := hostname()
		if slices.ContainsFunc(list(p["hostNames"]), func(name string) bool { return strings.EqualFold(name, host) }) {
			s.kind = everybody
		}
	default:
		return "name", fmt.Errorf("the strategy %q is not known", raw.Name)
	}
	return "", nil
}

func (s *strategy) share(text loose, group string) (err error) {
	if text == "" {
		return errors.New("missing")
	}
	s.kind, s.group = rollout, murmur3.New(0).Add(group).Add(":")
	s.percent, err = percent(text)
	return err
}

func hostname() string {
	if name := os.Getenv("HOSTNAME"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "undefined" // as Unleash's clients call it
	}
	return name
}

// draws reports whether a share of all decides.
func (s *strategy) draws() bool { return s.kind == rollout && s.percent < 100 }

// holds reports whether the strategy lets who in.
func (s *strategy) holds(a *asker) bool {
	for i := range s.constraints {
		if !s.constraints[i].holds(a) {
			return false
		}
	}
	switch s.kind {
	case everybody:
		return true
	case users:
		id, ok := a.get(fieldUser)
		if ok {
			_, ok = s.users[id]
		}
		return ok
	case rollout:
		return s.within(a)
	case addresses:
		text, ok := a.get(fieldAddress)
		return ok && within(s.networks, text)
	default:
		return false
	}
}

// within draws. Places are 1 to 100.
func (s *strategy) within(a *asker) bool {
	id, chance, ok := a.unit(s.sticky)
	switch {
	case chance:
		return float64(rand.IntN(100)+1) <= s.percent //nolint:gosec // no secret
	case !ok:
		return false
	}
	return float64(s.group.Add(id).Sum()%100+1) <= s.percent
}

// unit is whom to draw for. Chance says that there is nobody and a die is to be cast.
func (a *asker) unit(sticky string) (id string, chance, ok bool) {
	switch sticky {
	case stickyRandom:
		return "", true, false
	case "", stickyDefault:
		for _, field := range [...]string{fieldUser, fieldSession} {
			if id, ok := a.get(field); ok && id != "" {
				return id, false, true
			}
		}
		return "", true, false
	default:
		id, ok := a.get(sticky)
		return id, false, ok && id != ""
	}
}

// networks reads addresses and networks, and reports the others.
func networks(in []string, report func(string)) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(in))
	for _, text := range in {
		if network, err := netip.ParsePrefix(text); err == nil {
			out = append(out, network.Masked())
		} else if address, err := netip.ParseAddr(text); err == nil {
			address = address.Unmap().WithZone("")
			out = append(out, netip.PrefixFrom(address, address.BitLen()))
		} else {
			report(text)
		}
	}
	return out
}

func within(networks []netip.Prefix, text string) bool {
	address, err := netip.ParseAddr(text)
	if err != nil {
		return false
	}
	address = address.Unmap().WithZone("")
	for _, network := range networks {
		if network.Contains(address) {
			return true
		}
	}
	return false
}
