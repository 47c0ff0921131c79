// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package flags puts the evaluation of feature flags side by side: this project's
// flags and the clients of others get the same flags and the same people, their
// answers are checked, and then they take turns. The command of the same name writes
// the tables.
package flags
