// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package analysistest holds stand-ins for judges and their evidence, and the law
// that every judge must pass.
//
// [Always], [Script], [Series], [Broken] and [Stuck] are judges that say what a
// test wants to hear; they look at no evidence and are therefore no judges in the
// sense of the law. [Counter] is a source whose counts a test sets, for the real
// judges. [Run] holds a judge against the law.
package analysistest
