// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package beanstalk turns the production CNAME of an Elastic Beanstalk
// application from one environment to another: blue-green, all or nothing.
//
//	client := elasticbeanstalk.NewFromConfig(cfg)
//	router, err := beanstalk.New(client, beanstalk.Options{Application: "shop", CNAME: "shop-prod"})
//
// The arms of a route are names of environments. At 0% the CNAME is on the
// environment of stable, at 100% on that of the candidate; anything in between is refused.
//
// # The swap is a toggle
//
// AWS has one call, SwapEnvironmentCNAMEs, which exchanges what two environments
// have. Made twice it undoes itself, so a retry after a lost reply sends
// production back. The [Router] looks before it swaps and swaps only if the
// CNAME is not where it should be; it turns the SDK's retries off for this one
// call; and when a reply is lost it looks until the environments have come to
// rest instead of asking again. Apply returns when both are Ready and the CNAME
// has arrived, which takes some seconds, or when [Options.Wait] is over.
//
// # There is no fence
//
// The only thing that a swap can change is the CNAMEs. A tag on an environment would be
// a second call, and itself an update that makes the environment not Ready, so
// it could order no writers. Caps say so (Fencing is false), and a rollout takes this
// router only with its owner's word that nothing else turns it, such as
// strategy's Config.SingleWriter. The target cannot remember which arm is
// called stable either: after a restart Observe shows the environment that
// serves, with [Options.Arms] if it is one of them.
//
// # DNS
//
// What changes is a name in DNS. Resolvers keep the old answer for its lifetime,
// 60 seconds, and clients that hold a connection open keep it as long as
// they like. Caps.Lag says how long to wait, [Options.Lag] makes it longer, and
// [Router.NeededUntil] tells from the events of AWS until when the environment that
// was left must stay. Do not terminate it before, and drain the clients with
// long connections first.
package beanstalk
