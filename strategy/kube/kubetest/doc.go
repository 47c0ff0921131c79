// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package kubetest runs a real Kubernetes control plane for tests: etcd,
// kube-apiserver, kube-controller-manager, kube-scheduler and one node simulated
// by kwok, on the loopback interface, without a container engine.
//
// Deployments roll out, stop at a bad image, and are collected, in fractions of a
// second, because nothing runs in their pods. How a pod fares is written in the
// tag of its image:
//
//	web:1        ready at once
//	web:slow     ready after what annotation kubetest/ready-after says ("5s"), 3 s by default
//	web:broken   never ready: ImagePullBackOff
//	web:crash    never ready: CrashLoopBackOff
//
// A tag may have a prefix: web:2-broken. Most packages want one control plane for
// all of their tests, and a namespace for each:
//
//	func TestSomething(t *testing.T) {
//		cluster := kubetest.Shared(t)
//		namespace := cluster.Namespace(t)
//		client, err := dynamic.NewForConfig(cluster.Config())
//		…
//
// A test that kills or pauses a part of it wants its own, from [Start]. [Eventually] waits for
// what the controllers are to do.
//
// [Faults] stands between a client and the API server and makes it fail the way
// API servers do: conflicts, overload, replies that are lost after the write, and
// watches that fall silent.
//
// # What it needs
//
// The programs are looked for in this order:
//
//   - RHEOSTAT_CONTROLPLANE is the path of the combined executable;
//   - the one that make controlplane left in the user's cache;
//   - KUBEBUILDER_ASSETS is a folder with one executable for each program. Where
//     that holds etcd and kube-apiserver only, as envtest's does, no controller
//     runs, and only tests that ask for [Options.APIOnly] can use it.
//
// Without them a test is skipped and says what is missing; with RHEOSTAT_REAL=1 it
// fails. A control plane needs about 0.8 GiB of memory and 5 seconds to start.
//
// Nothing outlives the test's process, however it ends: on Linux the programs die
// with it, and a shell that waits for its end removes their files.
package kubetest
