// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package workload brings the pods of a rollout: it joins strategy to Kubernetes
// Deployments, so that traffic only goes where there are pods to take it, on the way
// forward, on the way home and at every moment between.
//
// A [Workload] is the two Deployments between which a router splits. Its [Workload.Plan]
// puts tasks around the steps of any strategy. Before each step whose share rises, the
// candidate gets the replicas that the share needs; it is made from stable's Deployment,
// with a [Template] of yours, where there is none. On the way home stable is brought to
// its whole size first. At the end there are two ways:
//
//   - [Promote]: stable takes the candidate's template while nothing goes to it, the traffic
//     shifts back, and the candidate is drained and rests. The names keep their sides.
//   - [Swap]: the candidate is what serves now, and the old Deployment is kept warm until the
//     bake is over. The next rollout goes the other way round.
//
// Nothing is scaled down that is observed to have traffic, or whose PodDisruptionBudget,
// where it shares one with pods that do serve, allows no disruption. A Deployment is first
// declared to be resting, which makes its room nothing, and only after a grace scaled down,
// so that no other process which had looked a moment before sends traffic there.
// [Workload.Router] is the router with that room.
//
// An autoscaler is not fought: while a rollout lasts, the least replicas of a
// HorizontalPodAutoscaler, or of the KEDA ScaledObject that owns it, are raised to what is
// needed, and put back afterwards. ConfigMaps and Secrets named in [Options].Configs are
// copied under names with a hash of what is in them, and the candidate is made to use the
// copies, so that they go forward and back with the code.
//
// All state is in annotations of the objects themselves. Every write carries the
// resourceVersion that was read and the fence of the rollout: what somebody else has
// changed meanwhile is looked at again, and a process that was overtaken is refused.
package workload
