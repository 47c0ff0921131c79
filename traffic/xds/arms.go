// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// SetArm adds the arm name with the addresses of its backends, each an IP and a
// port such as "10.0.0.1:8080", or gives a known one others, as when replicas come
// and go. Clients get to know it at once and connect. Addresses are not kept in
// RouterOptions.File: give Router the arms that are there when it starts.
func (r *Router) SetArm(name string, addresses ...string) error {
	if err := checkArm(name, addresses); err != nil {
		return fmt.Errorf("xds: %w", err)
	}
	return r.changeArms(func(arms map[string][]string) error {
		arms[name] = slices.Clone(addresses)
		return nil
	})
}

// RemoveArm forgets the arm name. One that the route in force names is refused, and
// any while a client has not acknowledged that route, for it may still call the arm.
func (r *Router) RemoveArm(name string) error {
	return r.changeArms(func(arms map[string][]string) error {
		told, refused := r.server.told(r.name)
		switch {
		case arms[name] == nil:
			return r.unknown(name)
		case name == r.last.Route.Arms.Stable || name == r.last.Route.Arms.Candidate:
			return fmt.Errorf("arm %q: the route in force names it: apply another route first", name)
		case refused != nil:
			return fmt.Errorf("arm %q: it may be in use: %w", name, refused)
		case !told && r.server.asked(r.name):
			return fmt.Errorf("arm %q: clients have not acknowledged the route in force yet: wait for Observe to show it as programmed", name)
		}
		delete(arms, name)
		return nil
	})
}

// Arms names the arms in alphabetical order.
func (r *Router) Arms() []string {
	r.turn <- struct{}{}
	defer r.unlock()
	return slices.Sorted(maps.Keys(r.arms))
}

// changeArms edits a copy and serves it.
func (r *Router) changeArms(edit func(arms map[string][]string) error) error {
	r.turn <- struct{}{}
	defer r.unlock()
	arms := maps.Clone(r.arms)
	if err := edit(arms); err != nil {
		return fmt.Errorf("xds: %w", err)
	}
	list, err := r.resources(arms, r.current())
	if err != nil {
		return fmt.Errorf("xds: %w", err)
	}
	r.arms = arms
	r.server.publish(r.name, list)
	return nil
}

// unknown is the error about a name that no arm has. The turn is the caller's.
func (r *Router) unknown(name string) error {
	if len(r.arms) == 0 {
		return fmt.Errorf("no arm %q: there are none; add it with SetArm", name)
	}
	return fmt.Errorf("no arm %q: known are %s", name, strings.Join(slices.Sorted(maps.Keys(r.arms)), ", "))
}
