// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package mutants

const (
	server   = "./migrate/postgres"
	contract = "TestConformance$/"
)

// servers are the guards of package migrate/postgres. Their tests start a server.
var servers = []mutant{
	{
		9, "a transaction does not look at its fence", "migrate/postgres/session.go",
		"	return fmt.Sprintf(\"SELECT %s.%s(%s, %d);\\n\", s.d.schema, function, literal(s.name), s.fence)\n", "	_ = function\n	return \"SELECT 1;\\n\"\n",
		server, contract + "a_session_that_was_fenced",
	},
	{
		3, "whoever saves asks no guard", "migrate/postgres/session.go",
		"	if g == nil {\n", "	if g == nil || g.App != \"\" {\n",
		server, contract + "contracting_waits",
	},
	{
		9, "what ended a connection is the change's fault", "migrate/postgres/errors.go",
		"	case slices.Contains(lost, e.Code):\n", "	case slices.Contains(lost, e.Code) && false:\n",
		server, "TestWhatTheServerSays|TestAWalkOutlives",
	},
	{
		9, "a batch does not look where the cursor is", "migrate/postgres/walk.go",
		" AND position::text = %[2]s%[3]s FOR UPDATE", " AND (position::text = %[2]s OR true)%[3]s FOR UPDATE",
		server, "TestABatchThatArrivesLate",
	},
	{
		9, "a session knows where the cursor is although a reply was lost", "migrate/postgres/walk.go",
		"	w.known = false\n	began", "	began",
		server, "TestABatchWhoseReply",
	},
	{
		9, "a connection that went away without a word is the change's fault", "migrate/postgres/errors.go",
		"case errors.Is(err, pgconn.ErrConnClosed):", "case false:",
		server, "TestABatchWhoseReply",
	},
	{
		6, "the server saves the end of the way back over an order", "migrate/postgres/setup.go",
		"AND coalesce(\"order\" ->> 'want' = 'rolledBack'", "AND false AND coalesce(\"order\" ->> 'want' = 'rolledBack'",
		server, contract + "what_ends|TestAnEarlierLayout",
	},
}
