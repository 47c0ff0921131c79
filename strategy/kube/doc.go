// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

/*
Package kube makes Kubernetes the engine of rollouts, where one machine is not enough.

# State

A [Store] keeps each service's state in the status of a custom resource, Rollout, which
[CRD] defines; or in a ConfigMap, where a CRD may not be installed; or in a resource of your
own. State is one string of JSON in the object: a schema cannot prune it, an encoder cannot
round it, and managedFields name it once. It may take 1 MiB. What is beside it in the
status is for people: phase, step, weight, conditions that kubectl wait, Flux and Argo CD
understand, and the end of the journal.

A save is a merge patch that carries the resourceVersion of the object in which the Rev was
read, so of two that decide at the same time one is refused by the API server. An edit of
the spec in between is no conflict: the store reads again, sees that the Rev is the same,
and writes again. When a reply is lost it tells its own write by a mark.

# Will

What the operator wants is in the object, as a level: spec.intent of a Rollout, or the
annotation [IntentNote] of a ConfigMap. Everything but a hold names the run it is meant for,
so that yesterday's abort does not end today's run.

	kubectl patch rollout web --type merge -p '{"spec":{"intent":{"run":3,"abort":true,"by":"ada","why":"checkout is slow"}}}'

Whoever may patch rollouts may say who they are; [AdmissionPolicy] makes the API server
hold them to it. The status is a subresource of its own: grant rollouts/status to the
controller alone, and nobody else can forge a state.
*/
package kube
