// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package aws has no code. Its folder is the module that holds the routers of
// Amazon Web Services, so that nobody else has their SDK in his go.sum:
//
//   - alb: the weights of an Application Load Balancer's target groups
//   - beanstalk: the swap of two Elastic Beanstalk environments' CNAMEs
//   - lambda: the weights of a Lambda alias
//   - route53: the weights of records in a Route 53 zone
//   - awstest: a server that speaks their protocols, for tests
//
// Each router takes a small interface of exactly the calls that it makes, which
// the client of the SDK satisfies. Two of them, lambda and route53, have a place
// for a fence that changes in the same write as the weights; alb and beanstalk have
// none, and say so in their Caps.
//
// # Retries
//
// The SDK retries three times by itself, with up to 20 seconds in between, also
// when a reply was lost. All calls that the routers make may be made twice,
// but for the swap of Elastic Beanstalk, for which its router turns the
// SDK's retries off. A rollout asks again in its next turn anyway, so less is
// enough:
//
//	cfg.Retryer = func() aws.Retryer {
//		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 2, 2*time.Second })
//	}
//
// Give the SDK's HTTP client a timeout as well: a context without a deadline waits for ever.
package aws
