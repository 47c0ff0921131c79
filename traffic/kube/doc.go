// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package kube turns traffic by an object of a Kubernetes cluster: the selector of a
// Service here, and routes of controllers and meshes in the packages below.
//
//	r, err := kube.NewService(client, "prod", "web", kube.ServiceOptions{Key: "version"})
//
// # How an object is written
//
// Each Apply reads the object, changes what is the route's in a copy, and sends the
// difference as one merge patch under the resourceVersion that was read. So whatever
// others have added stays as it is, a write that came between is never undone, and the
// route and its fence come into force together. The API server replaces lists as a whole;
// the list that is sent is the one that was read, with the route's entries changed.
//
// The fence stands in the annotation rheostat.dev/fence, with the route that was accepted
// under it. It stays when a rollout has ended: it is what keeps out a writer that wakes up
// late. Who removes it lets such a writer in.
//
// What the object had before it was first turned for a pair of arms stands in
// rheostat.dev/original. When a route says again what the object said then, as it does at
// the end of a rollout that went home or was promoted by a new stable, it is written in
// those words and the annotation goes; so it does at any other end at stable. After a
// swap, the candidate serving everything, it stays until the next pair of arms. Entries
// that others have changed in the same list meanwhile are theirs: then the route is
// written in the router's words.
//
// # Who else writes
//
// Observe shows what the object says, whoever wrote it, and names the field manager that
// wrote it last where that was somebody else. Argo CD and Flux would undo every step: the
// first Apply to an object that they keep is refused with the piece of configuration
// that makes them leave it alone, until [Options.AcceptGitOps] says that they do.
//
// # What an arm can carry
//
// Room is counted by the ready endpoints of each arm, against how many carry everything:
// see [Options.Replicas].
//
// # A router for another kind of object
//
// A [Codec] is all that it takes: which fields are the route's, how to read a route from
// them and how to write one; the rest is this package's. The example of Codec is a whole
// one. It is proven by package traffictest, like every router:
//
//	type codec struct{}                                        // Caps, Fields, Read, Write
//	r, err := kube.New(client, object, codec{}, kube.Options{}) // a traffic.Router
//
// What to mind:
//
//   - Read tells the arms apart by the names it is given, not by their place, and shows
//     what it does not know by its own name. Weights are relative in most kinds: read
//     them as shares of their sum.
//   - Write leaves both arms in place at 0% and 100% where the kind allows it; the data
//     plane then knows both when the weight comes back. It appends entries with
//     append(slices.Clone(list), …) and never rebuilds those of others.
//   - What Write writes, Read reads: the router checks that before anything is sent, on
//     what is sent, and on what the server made of it. It refuses a Write that touches
//     more than Fields.
//   - A kind whose status tells when a route is programmed is a [Prover], too; one whose
//     object is the router's own is a [Maker].
//
// # Permissions
//
// get and patch on the object (create, too, where the router makes it), and list on
// endpointslices in discovery.k8s.io; for a Service, list on pods.
package kube
