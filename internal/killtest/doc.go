// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package killtest kills a process that carries rollouts out, hundreds of times
// and at any moment, and checks that the next one goes on where it stood. It has
// tests only: the process is the test's own binary, with the real Runner, a
// FileStore and the embedded proxy.
package killtest
