// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"

	"github.com/rheostat-go/rheostat/migrate"
)

// Compile makes the script of a change.
func (d *Database) Compile(context.Context, migrate.Change) (migrate.Script, error) {
	return migrate.Script{}, errors.ErrUnsupported
}
