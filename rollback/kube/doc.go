// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package kube brings Deployments, StatefulSets and DaemonSets back: each is a
// [rollback.Target], made by [Deployment], [StatefulSet] or [DaemonSet].
//
// It does what kubectl rollout undo, status and history do, with these differences:
//
//   - A revision is its pod template, by digest. kubectl's number moves to another revision
//     with every return; a digest never does. What kubectl rollout restart writes is not
//     part of it: a restarted revision is the same revision, in quarantine or not.
//   - The revision to go to is always named. "The previous one" is, after a rollback, the
//     bad one; [rollback.Ledger] knows the last good one.
//   - Apply compares and swaps: a deploy that comes between the decision and the write is
//     not overwritten, and the error says whose it was. Status that controllers write
//     meanwhile is no conflict.
//   - Annotations are merged. Those that came after the revision stay, and the change-cause
//     says what was done.
//   - Only the template returns. Replicas are left to whoever scales.
//   - The status counts for the generation that was asked for only, and a deadline that
//     another revision has exceeded does not count against this one.
//   - A StatefulSet that waits for a broken pod, and would for ever, is told apart, and
//     brought on where [Options.Unstick] says so.
//
// A workload that Argo CD, Flux, Helm or a controller owns is refused, and the error says
// where to go back instead. So is one that is paused, that updates on delete only, or that
// keeps no history.
//
// It cannot see whether the images of a revision still can be pulled, and brings back no
// ConfigMap, Secret or volume that was changed in place: give those a new name with each
// change.
//
// # Permissions
//
//	rules:
//	- {apiGroups: [apps], resources: [deployments], resourceNames: [web], verbs: [get, patch]}
//	- {apiGroups: [apps], resources: [replicasets], verbs: [list]}          # of Deployments
//	- {apiGroups: [apps], resources: [controllerrevisions], verbs: [list]}  # of the others
//	- {apiGroups: [""], resources: [pods], verbs: [list]}                   # of StatefulSets
//	- {apiGroups: [""], resources: [pods], verbs: [delete]}                 # with Unstick
//
// Who may patch a workload may run any code in its namespace.
package kube
