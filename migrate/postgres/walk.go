// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"

	"github.com/rheostat-go/rheostat/migrate"
)

func (s *session) Batch(context.Context, migrate.BatchOrder) (migrate.Batch, error) {
	return migrate.Batch{}, errors.ErrUnsupported
}

func (s *session) Pressure(context.Context) (migrate.Pressure, error) {
	return migrate.Pressure{}, errors.ErrUnsupported
}
