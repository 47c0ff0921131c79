// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command checkout serves a new checkout to those that a flag names, while somebody
// turns the flag: first nobody, then staff, then a share of all, then nobody again.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/rheostat-go/rheostat/flags"
)

var newCheckout = flags.Bool("new-checkout-flow", false)

func handler(client *flags.Client) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/checkout", func(w http.ResponseWriter, r *http.Request) {
		who := flags.User(r.Header.Get("User"), flags.Str("email", r.Header.Get("Email")))
		if newCheckout.On(client, &who) {
			fmt.Fprint(w, "new checkout")
			return
		}
		fmt.Fprint(w, "old checkout")
	})
	return mux
}

func main() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	store := flags.NewMemory(&flags.Flag{ // or flags.File, flags.HTTP, flags/redis
		Key: "new-checkout-flow", Enabled: true, Rollout: &flags.Rollout{Type: "percentage"},
		Rules: []flags.Rule{{
			ID: "staff", Serve: flags.Serve{Variant: "on"},
			When: []flags.Clause{{Attribute: "email", Op: flags.EndsWith, Values: []flags.Value{flags.Text("@example.com")}}},
		}},
	})
	client := must(flags.New(store, flags.Options{}))
	go func() { _ = client.Run(ctx) }() // it ends with ctx
	must(0, client.Wait(ctx))
	api := handler(client)
	changes := make(chan *flags.Flag)
	go func() {
		for f := range client.Changes(ctx, newCheckout.Key()) {
			changes <- f
		}
	}()
	show := func(what string) {
		<-changes // what was written is in force
		fmt.Printf("%s: %d of 1000 have it, staff: %s\n", what, count(api), ask(api, "kim", "kim@example.com"))
	}
	show("at the start")
	must(flags.Ramp(ctx, store, newCheckout.Key(), "on", 25_000, flags.Note{By: "kim", Why: "a quarter"}))
	show("at 25%")
	must(flags.Kill(ctx, store, newCheckout.Key(), flags.Note{By: "lou", Why: "payments fail"}))
	show("killed")
}

func ask(api http.Handler, user, email string) string {
	r, w := httptest.NewRequest(http.MethodGet, "/api/checkout", http.NoBody), httptest.NewRecorder()
	r.Header.Set("User", user)
	r.Header.Set("Email", email)
	api.ServeHTTP(w, r)
	return w.Body.String()
}

func count(api http.Handler) (n int) {
	for i := range 1000 {
		if ask(api, fmt.Sprint("user-", i), "") == "new checkout" {
			n++
		}
	}
	return n
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
