// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package dbtest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestAMissingServerSkipsUnlessItIsWanted(t *testing.T) {
	if os.Getenv("DBTEST_CHILD") == "need" {
		need(t, "no-such-server", "no-such-package")
		return
	}
	t.Parallel()
	for wanted, want := range map[string]string{"1": "--- FAIL", "0": "--- SKIP"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "TestAMissingServer", "-test.v")
		cmd.Env = []string{"DBTEST_CHILD=need", "RHEOSTAT_REAL=" + wanted}
		out, _ := cmd.CombinedOutput()
		if !strings.Contains(string(out), want) || !strings.Contains(string(out), "no-such-package") {
			t.Errorf("RHEOSTAT_REAL=%s: %s", wanted, out)
		}
	}
}
