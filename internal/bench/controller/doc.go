// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package controller measures a Controller of strategy/kube that carries out many rollouts
// at once against a real API server: what it asks the server for, how much memory it takes,
// and how long it is from a verdict to the patched route.
//
//	RHEOSTAT_REAL=1 GOWORK=off go test ./controller -rollouts 1000 -write -v -timeout 30m
//
// writes CONTROLLER.md. Without -rollouts a few are tried, so that it keeps working.
package controller
