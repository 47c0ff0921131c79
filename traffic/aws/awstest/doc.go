// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package awstest is a server that speaks the protocols of four services of AWS,
// for tests through the real SDK: Elastic Beanstalk and Elastic Load Balancing v2
// (Query with XML), Route 53 (REST with XML) and Lambda (REST with JSON).
//
//	server := awstest.New()
//	defer server.Close()
//	server.Beanstalk.Add(awstest.Environment{Application: "shop", Name: "blue", CNAME: "shop"})
//	client := elasticbeanstalk.NewFromConfig(server.Config())
//
// A [Server] keeps state, and is strict where others are not: it enforces the
// limits of the services, goes through their states in between (Updating, PENDING)
// as the test says and never by the clock, and answers with their error codes and
// statuses. It can fail a call, carry it out and lose the reply, hang, refuse,
// and answer nonsense; and it counts the calls.
//
// What it does not emulate: signatures and permissions are not looked at; there
// are no regions, accounts, quotas or rates other than those a test asks for;
// reads are always consistent, pages are not split; only the calls that
// the routers make exist, with the fields that they and their neighbours use; and
// the words of an error are like the real ones, without a promise. Nothing
// is resolved, balanced or invoked: Pick answers from the weights that are stored.
package awstest
