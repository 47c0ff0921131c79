// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package lambda turns the weights of a Lambda function's alias between two of
// its published versions.
//
//	router, err := lambda.New(awslambda.NewFromConfig(cfg), lambda.Options{Function: "checkout", Alias: "live"})
//
// The arms of a route are versions, such as "41" and "42". At 0% the alias
// is on stable's version, at 100% on the candidate's, and in between it is on
// stable's with the candidate's as additional version. Lambda wants both
// versions to have the same execution role and the same dead-letter queue, and
// neither to be $LATEST; what it says against that is in the error.
//
// # The fence
//
// The fence and the route stand at the end of the alias's description, in
// brackets after whatever text you have there, and are written by the same call
// as the weights, under the RevisionId that was read: Lambda refuses it when
// anybody has changed the alias meanwhile, and the [Router] looks again.
// A description has at most 256 characters; some 70 of them are needed.
//
// # Evidence
//
// Lambda says what an alias is set to, and has no word on when its front ends
// follow, which takes seconds. So Written is the best evidence and Caps.Lag comes
// on top. Invocations that have begun end on the version they began on; event sources
// and provisioned concurrency belong to the alias or the version as you configured
// them, and are not touched: give the candidate its provisioned concurrency
// before it gets traffic.
package lambda
