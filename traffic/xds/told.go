// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxNamed is how many clients an error names.
const maxNamed = 3

// told reports whether every client of the router has what it should, and there
// is one with the route; refused names those that do not want it.
func (s *Server) told(router string) (told bool, refused error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var own []resource
	for _, byName := range s.config.resources {
		for _, res := range byName {
			if res.router == router {
				own = append(own, res)
			}
		}
	}
	var routed, behind, refusals int
	var named []string
	for c := range s.clients {
		refusal := ""
		for _, res := range own {
			asks, has, why := c.knows(res)
			switch {
			case why != "":
				refusal = fmt.Sprintf("client %q refuses %s %q: %s", c.node, kind(res.typeURL), res.name, why)
			case asks && !has:
				behind++
			case asks && res.typeURL == routeType:
				routed++
			}
		}
		if refusal == "" {
			continue
		}
		if refusals++; refusals <= maxNamed {
			named = append(named, refusal)
		}
	}
	if refusals > 0 {
		slices.Sort(named)
		if refusals > maxNamed {
			named = append(named, fmt.Sprintf("and %d clients more", refusals-maxNamed))
		}
		return false, errors.New(strings.Join(named, "; "))
	}
	return routed > 0 && behind == 0, nil
}

// kind is the last word of a type.
func kind(typeURL string) string { return typeURL[strings.LastIndexByte(typeURL, '.')+1:] }

// asked reports whether any client wants the router's route.
func (s *Server) asked(router string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		if asks, _, _ := c.knows(s.config.resources[routeType][router]); asks {
			return true
		}
	}
	return false
}
