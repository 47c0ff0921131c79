// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command stale lists the flags of a document that everybody has had one variant of for 30
// days, and when this program last asked for them. The code around them can go.
//
//	go run ./examples/flags/stale [flags.json]
package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

//go:embed flags.json
var sample []byte

func main() {
	text := sample
	if len(os.Args) > 1 {
		var err error
		if text, err = os.ReadFile(os.Args[1]); err != nil {
			log.Fatal(err)
		}
	}
	if err := report(os.Stdout, text); err != nil {
		log.Fatal(err)
	}
}

func report(w io.Writer, text []byte) error {
	doc, err := flags.ParseDocument(text)
	if err != nil {
		return err
	}
	for _, p := range doc.Check() {
		fmt.Fprintln(w, p)
	}
	store := new(flags.Memory)
	store.Replace(doc)
	client, err := flags.New(store, flags.Options{})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { _ = client.Run(ctx) }() // it ends with ctx
	if err := client.Wait(ctx); err != nil {
		return err
	}
	client.Bool("old-banner", false, nil) // some code still asks for this one
	for _, s := range client.Stale(0) {
		asked := "not asked for"
		if !s.Evaluated.IsZero() {
			asked = "still asked for"
		}
		fmt.Fprintf(w, "%s: everybody has %s since %s, %s; owner %s\n", s.Flag.Key, s.Variant, s.Since.Format(time.DateOnly), asked, s.Flag.Owner)
	}
	return nil
}
