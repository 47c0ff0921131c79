// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package readme keeps README.md true: its program is the one in examples/canary,
// and its table of routers is what the routers declare.
package readme

//go:generate go test -run TestReadme -update .
