// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package sqltext splits scripts of PostgreSQL, MySQL and SQLite into statements, each with
// the line it begins on, and says what they would do to those who use the database
// meanwhile. It knows what a semicolon does not end: strings, quoted names,
// dollar quotes, comments, and the bodies of triggers and routines; and of the rest as much
// as a look at the words tells.
package sqltext
