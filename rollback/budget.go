// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package rollback

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Budget bounds the automatic returns of one service. It never holds up a
// person's rollback. The zero Budget is one return an hour.
type Budget struct {
	// Returns is how many automatic returns may begin within Window. 0 is one;
	// less than 0 is none, which turns automatic returns off.
	Returns int
	// Window is how far back is counted. 0 is an hour.
	Window time.Duration
}

// Allows is nil if one more automatic return may begin now, else ErrBudget with
// the details. Returns that began in the future, by a clock that was set back,
// count as though they had begun now.
func (b Budget) Allows(now time.Time, l Ledger) error {
	allowed, window := b.Returns, b.Window
	if allowed == 0 {
		allowed = 1
	}
	allowed = max(allowed, 0)
	if window <= 0 {
		window = time.Hour
	}
	n := 0
	for _, r := range l.Returns {
		if r.Trigger == Automatic && now.Sub(r.At) < window {
			n++
		}
	}
	if n >= allowed {
		return fmt.Errorf("%d of %d within %v: %w", n, allowed, window, ErrBudget)
	}
	return nil
}

// FleetBudget bounds how many services may return automatically at the same
// time. It never holds up a person's rollback. The zero FleetBudget is five
// services in ten minutes.
type FleetBudget struct {
	// Services is how many may return within Window. 0 is five.
	Services int
	// Window is how far back is counted. 0 is ten minutes.
	Window time.Duration
}

// maxFleet bounds what is remembered of a fleet, far above any budget.
const maxFleet = 1024

// Fleet remembers which services returned automatically, and when. It is a
// value, kept by the caller next to the ledgers. The zero Fleet remembers none.
type Fleet struct {
	// Services has the one that returned last at its end, each service once.
	Services []FleetReturn `json:"services,omitempty"`
}

// FleetReturn is a service's last automatic return.
type FleetReturn struct {
	Service string    `json:"service"`
	At      time.Time `json:"at"`
}

// Returned is f with a return of this service.
func (f Fleet) Returned(now time.Time, service string) Fleet {
	services := slices.Clone(f.Services)
	services = slices.DeleteFunc(services, func(r FleetReturn) bool { return r.Service == service })
	return Fleet{Services: last(append(services, FleetReturn{Service: service, At: stamp(now)}), maxFleet)}
}

// Allows is nil if this service may begin an automatic return now, else
// ErrFleetBudget with the details. The service's own returns do not count: they
// are for its own Budget.
func (b FleetBudget) Allows(now time.Time, f Fleet, service string) error {
	allowed, window := b.Services, b.Window
	if allowed <= 0 {
		allowed = 5
	}
	if window <= 0 {
		window = 10 * time.Minute
	}
	n := 0
	for _, r := range f.Services {
		if r.Service != service && now.Sub(r.At) < window {
			n++
		}
	}
	if n >= allowed {
		return fmt.Errorf("%d others within %v: %w", n, window, ErrFleetBudget)
	}
	return nil
}

// Door is a change that cannot be taken back: a column that was dropped, a key
// that was rotated, data written in a format that older code cannot read.
type Door struct {
	// Name is what a person accepts it by. Why tells that person what breaks.
	Name string `json:"name"`
	Why  string `json:"why,omitempty"`
	// Floor is the lowest Level of a revision that can run behind the door.
	Floor uint64 `json:"floor"`
}

// Guard is nil if to can run behind all doors but those accepted by name, else
// ErrOneWay for each that it cannot.
func Guard(to Revision, doors []Door, accepted []string) error {
	var errs []error
	for _, d := range doors {
		if to.Level < d.Floor && !slices.Contains(accepted, d.Name) {
			errs = append(errs, fmt.Errorf("%s: %s is of level %d, at least %d is needed (%s): %w", d.Name, to, to.Level, d.Floor, d.Why, ErrOneWay))
		}
	}
	return errors.Join(errs...)
}
