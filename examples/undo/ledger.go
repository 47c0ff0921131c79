// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"

	"github.com/rheostat-go/rheostat/rollback"
)

// load reads the ledger. Without a file nothing is remembered.
func (c command) load(service string) (rollback.Ledger, error) {
	if c.ledger == "" {
		return rollback.Ledger{Service: service}, nil
	}
	data, err := os.ReadFile(c.ledger)
	if errors.Is(err, os.ErrNotExist) {
		return rollback.Ledger{Service: service}, nil
	}
	if err != nil {
		return rollback.Ledger{}, err
	}
	return rollback.ParseLedger(data)
}

// save replaces the ledger as a whole, so that a crash leaves the old one or the new one.
// It is one person's file: two who write it at once need a store that compares Rev.
func (c command) save(_ context.Context, l rollback.Ledger) error {
	if c.ledger == "" {
		return nil
	}
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.ledger+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(c.ledger+".new", c.ledger)
}
