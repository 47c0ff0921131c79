// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package bench holds the figures that the README quotes, each with the command
// that makes it. It is a module of its own, outside of go.work, so that what it
// needs never becomes a dependency of the product: run it with GOWORK=off. The
// figures, and what of them is noise, are in README.md beside this file.
package bench
