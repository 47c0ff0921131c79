// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package sqltext splits scripts of PostgreSQL, MySQL and SQLite into statements, each with
// the line it begins on. It knows what a semicolon does not end: strings, quoted names,
// dollar quotes, comments, and the bodies of triggers and routines. It parses nothing else.
package sqltext
