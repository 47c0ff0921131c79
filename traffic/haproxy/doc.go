// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package haproxy turns HAProxy through its runtime API, without a reload and
// without losing a request.
//
// The route lives in one map of HAProxy. A few rules in the frontend look it up
// once for each request, draw or hash a place between 0 and a million, and name
// the backend; [Config.Rules] prints them. Each arm is a backend of HAProxy with
// any number of servers. A change is in force for the next request of every
// connection, to the part per million.
//
// # Setting it up
//
// HAProxy 2.5 or newer with PCRE, as all the usual packages have it:
//
//	global
//	    stats socket /run/haproxy/admin.sock mode 660 level admin
//	frontend web
//	    # the lines of Config.Rules
//	backend blue
//	backend green
//
// The map's file must exist when HAProxy starts, and may be empty: then all
// requests go where they would without the rules. Name the file in
// [Options].File as well, and a reload or a restart begins with the last route.
//
// HAProxy cannot look at a header whose name it learns at run time. So Config
// declares the headers, cookies and parameters that routes may name, and its
// rules look at these alone. A route that names another is refused with
// errors.ErrUnsupported when it is applied; Caps, which know no names, say only
// whether there are any.
//
// # How writers are kept in order
//
// HAProxy has no compare-and-swap, but what it has is enough. Of several entries
// that match, HAProxy takes the first, a new one goes last, and deleting one that
// is gone does no harm. An entry's key is a range of numbers, which begins with
// the fence, ends with a number that is never used again, and always holds the
// one that the rules look up. So a writer adds its entry behind the one in force,
// where no request sees it; reads the list; takes its entry back if anything
// before it has a higher fence; and otherwise deletes what stands before it, the
// last first. The last deletion puts its route in force at once and whole. However
// two writers interleave, and wherever one of them dies, the fence in force never
// falls, a stale route is never in force, and nobody waits for anybody.
//
// # By hand
//
// An entry's value is a route: parts per million, stable, candidate, what it is
// sticky by, and its matches. What an operator does in an emergency is
//
//	clear map /var/lib/haproxy/web.map
//	add map /var/lib/haproxy/web.map 0: 0|blue|green|-|,
//
// which Observe shows as a route without a fence; "set map" on the key in force
// does it without a moment in between, and keeps the fence.
//
// # What is left
//
// During a reload the worker that leaves may still take a write that the new one
// has not read. Observe then shows the old route again, and applying the route
// once more, as a rollout does by itself, puts it in force; the file keeps the
// fence meanwhile. A worker that leaves finishes its connections with the route
// it had; set hard-stop-after to bound that.
//
// Whoever clears the map erases its fence, unless Options.File is set.
package haproxy
