// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package alb turns the weights of two target groups in the forward action of an
// Application Load Balancer's listener or rule.
//
//	router, err := alb.New(elbv2.NewFromConfig(cfg), alb.Options{
//		ARN:    "arn:aws:elasticloadbalancing:…:listener/app/shop/…",
//		Groups: map[string]string{"blue": "arn:…:targetgroup/blue/…", "green": "arn:…:targetgroup/green/…"},
//	})
//
// The arms of a route are the names in [Options.Groups]. The two weights add up to
// 1000, so a step of a tenth of a per cent is exact; at the ends they are 999
// and 0, the most that AWS takes. A group of weight 0 stays in the action,
// because AWS checks the health only of groups that a load balancer uses.
//
// Everything else of the listener or rule stays as it is: other actions, such
// as a login before, their order, stickiness, and target groups with weight 0.
// The one secret that AWS does not show, of an OpenID client, it is told to keep.
//
// # There is no fence
//
// A listener has no version, and tags are written by another call than weights.
// There is no field in a forward action that could hold a number and means
// nothing. So Caps say Fencing is false, and a rollout takes this router only
// with its owner's word that nothing else turns it, such as strategy's
// Config.SingleWriter. Another tool that changes other parts of the same actions between
// this router's look and its write loses what it wrote. Nor can
// the action remember which arm is called stable: after a restart
// Observe tells by [Options.Arms] until a route is applied.
//
// # Stickiness
//
// With target group stickiness a client that has been given to the candidate
// stays there, at a weight of 0 as well, until its cookie is over: nobody is sent
// home before. Apply gives the candidate no traffic through an action where it
// is on, unless [Options.Stickiness] says how long it may be; that time is
// then part of Caps.Lag. The way home is never barred; Observe shows no
// evidence for an action that is sticky for longer than was declared.
//
// # Room
//
// An arm's room is its healthy targets by the registered targets of whichever arm
// has more of them: as if all targets were alike and the bigger arm had
// been made for all of the traffic. Targets that are draining do not count.
package alb
