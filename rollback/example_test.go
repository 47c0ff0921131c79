// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package rollback_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rheostat-go/rheostat/rollback"
)

// A candidate fails and the service goes back to what is known to be good.
func ExampleDo() {
	now := time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC)
	v1 := rollback.Revision{ID: "web-1", Digest: "sha256:aaaa"}
	v2 := rollback.Revision{ID: "web-2", Digest: "sha256:bbbb"}
	target := rollback.NewMemory(10*time.Millisecond, v1, v2)

	ledger, _ := rollback.Ledger{Service: "web"}.Deployed(now, v1)
	ledger, _ = ledger.Baked(now, v1.Digest)
	ledger, _ = ledger.Deployed(now, v2)

	result, err := rollback.Do(context.Background(), target, ledger, rollback.Options{
		Ask:    rollback.Ask{By: "errors", Why: "5.2% is over 1%"},
		Stable: 20 * time.Millisecond, Poll: 5 * time.Millisecond,
		Save: func(_ context.Context, l rollback.Ledger) error {
			fmt.Println("save: open", l.Open != nil)
			return nil
		},
	})
	fmt.Println(result.Outcome, "to", result.Return.To, err)

	// The bad revision is in quarantine, so that nothing brings it back.
	_, err = rollback.Do(context.Background(), target, result.Ledger, rollback.Options{
		Ask: rollback.Ask{Trigger: rollback.Human, By: "ada", Why: "wrong button", To: "web-2"},
	})
	fmt.Println(errors.Is(err, rollback.ErrQuarantined))
	// Output:
	// save: open true
	// save: open false
	// rolledBack to web-1 (sha256:aaaa) <nil>
	// true
}

// What cannot be taken back is data: a return through a closed door is refused,
// unless a person accepts it by name.
func ExampleGuard() {
	doors := []rollback.Door{{Name: "drop users.email", Why: "older code reads the column", Floor: 42}}
	old := rollback.Revision{ID: "web-1", Digest: "sha256:aaaa", Level: 41}
	fmt.Println(rollback.Guard(old, doors, nil))
	fmt.Println(rollback.Guard(old, doors, []string{"drop users.email"}))
	// Output:
	// drop users.email: web-1 (sha256:aaaa) is of level 41, at least 42 is needed (older code reads the column): rollback: refused: cannot be taken back
	// <nil>
}
