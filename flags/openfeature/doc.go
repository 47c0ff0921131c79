// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package openfeature joins flags and OpenFeature, both ways.
//
// A [Provider] serves our flags to code that speaks OpenFeature:
//
//	api := isolated.NewAPI()
//	err := api.SetProviderAndWait(ctx, openfeature.NewProvider(client))
//	on := api.NewClient().Boolean(ctx, "new-checkout", false, who)
//
// An [Evaluator] serves the flags of any OpenFeature provider to our handles:
//
//	evaluator, err := openfeature.NewEvaluator(api.NewClient())
//	client, err := flags.NewWith(evaluator, flags.Options{})
//	on := newCheckout.On(client, &who)
//
// Both work with an API instance of one's own, as isolated.NewAPI makes it, and with the
// global one. One's own is better: a process may have several, tests do not meet, and
// Shutdown is final for one user only.
//
// # What it costs
//
// OpenFeature's SDK takes about 2.5 µs and 12 allocations for an evaluation, before the provider
// is asked at all; the provider adds the reading of the context, some 1.5 µs and 7
// allocations. A handle of package flags takes nanoseconds. So code of one's own asks
// handles, and the provider is for what already speaks OpenFeature.
//
// # What becomes of what
//
// An evaluation context is read with flags.FromMap: the targeting key is the unit's key,
// nested objects are names with dots, lists are several values. The way back is
// flags.Context.Map. Reasons are those of flags.Reason.OpenFeature; NotReady, NotFound,
// TypeMismatch and Failed are the errors PROVIDER_NOT_READY, FLAG_NOT_FOUND, TYPE_MISMATCH
// and GENERAL. A flag's metadata are the strings, numbers and booleans of its field
// "metadata", and "version" and "rule" of this evaluation where there are any.
package openfeature
