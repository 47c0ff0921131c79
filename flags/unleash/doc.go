// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package unleash imports features from Unleash: what its client API answers, or a
// backup of that. They are decided as Unleash's own clients decide them, to the same people.
//
//	doc, err := unleash.Parse(text)
//	store.Replace(doc)
//
// # Two flags for a feature
//
// Unleash asks two things of a feature: is it on, and which variant. So a feature "shop"
// becomes the boolean flag "shop", and if it or one of its strategies has variants, a
// second flag "shop.variant" whose variants have Unleash's names:
//
//	on := flags.Bool("shop", false)
//	color := flags.String("shop"+unleash.Suffix, "blue")
//
// The second serves the payloads: numbers if all are of the type number, objects if all are
// of the type json, and else texts, where a variant without a payload is its own name. Who
// has no variant, which Unleash calls "disabled", gets the caller's default.
//
// # What is understood
//
// The strategies default, userWithId, gradualRolloutUserId, gradualRolloutSessionId,
// gradualRolloutRandom, flexibleRollout with its stickiness, remoteAddress with networks,
// and applicationHostname; constraints with all operators up to version 6.1 of Unleash's
// client specification; segments; variants with weights, overrides and stickiness, of
// features and of strategies; dependencies; the events of the delta API.
//
// The context's key is Unleash's userId, unless there is an attribute of that name. The
// other fields are attributes of Unleash's names (sessionId, remoteAddress, environment,
// appName, currentTime), and so are properties. What Unleash's clients are configured with
// (environment, appName) is for the context to say. currentTime is now, if it is not given.
//
// # What is not
//
// Strategies of your own let nobody in, and are a warning among the document's
// problems, as is a constraint that makes no sense: it never holds, not even inverted.
// There is no writing back, and no impression data. A feature whose parent has parents is off, as
// in Unleash.
//
// Features are a Logic of flags, which is not part of a flag's JSON: after Options.Cache has
// brought them back they are off, and variants are the caller's default, until the
// source has answered. Keep Unleash's own text to start from instead.
package unleash
