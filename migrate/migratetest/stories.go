// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migratetest

import (
	"github.com/rheostat-go/rheostat/migrate"
)

// storyCases are three for each story.
var storyCases = func() []testCase {
	var all []testCase
	for _, s := range stories {
		all = append(all, testCase{
			name:  s.name + ": both versions work in every phase",
			why:   "clients of the old version read and write until its side is hidden, those of the new one from Ready on, and each sees what the other wrote; names need quoting",
			needs: []need{needDB},
			run:   func(r *run) { r.forward(s, false); r.forward(s, true) },
		}, testCase{
			name:  s.name + ": goes on wherever its process died",
			why:   "a process that dies before or after any save leaves what the next one needs to go on: every step is a transaction with its record, or can be read from the catalog",
			needs: []need{needDB},
			run: func(r *run) {
				for i, n := range r.moments(s) {
					r.dies(s, accident{at: n, late: i%2 == 1})
				}
			},
		}, testCase{
			name:  s.name + ": is taken back wherever its process died",
			why:   "before Contracting everything can be taken back, from any step, by another process; no acknowledged write of the new version is lost, nothing is left behind, and the change may begin anew",
			needs: []need{needDB},
			run: func(r *run) {
				for i, n := range r.moments(s) {
					r.dies(s, accident{at: n, late: i%2 == 1, back: true, anew: i%3 == 0})
					if r.Stride == 1 {
						r.dies(s, accident{at: n, late: i%2 == 0, back: true, anew: i%3 == 1})
					}
				}
			},
		})
	}
	return all
}()

const table = "CREATE TABLE [t] ([id] <int> PRIMARY KEY, [v] <text>)"

// simple is a version that keeps its value in one column of t.
func simple(column string) version {
	return version{
		insert: []string{"INSERT INTO [t] ([id], " + column + ") VALUES (:id, :v)"},
		update: []string{"UPDATE [t] SET " + column + " = :v WHERE [id] = :id"},
		remove: []string{"DELETE FROM [t] WHERE [id] = :id"},
		read:   "SELECT " + column + " FROM [t] WHERE [id] = :id",
	}
}

func (v version) seen(as func(string) string) version {
	v.as = as
	return v
}

func one(op func(r *run, n names) migrate.Op) func(*run, names) []migrate.Op {
	return func(r *run, n names) []migrate.Op { return []migrate.Op{op(r, n)} }
}

var stories = []story{
	{
		name: "ReplaceColumn", create: []string{table},
		ops: one(func(r *run, n names) migrate.Op {
			return migrate.ReplaceColumn{Table: n["t"], Old: n["v"], New: n["w"], Type: r.Types.Text}
		}),
		old: simple("[v]"), new: simple("[w]"),
		before: []string{"id", "v"}, after: []string{"id", "w"},
	},
	{
		name: "ReplaceColumn NotNull with Up and Down", create: []string{"CREATE TABLE [t] ([id] <int> PRIMARY KEY, [v] <int> NOT NULL)"},
		ops: one(func(r *run, n names) migrate.Op {
			return migrate.ReplaceColumn{
				Table: n["t"], Old: n["v"], New: n["w"], Type: r.Types.Big, NotNull: true,
				Up: r.sql(n, "[v] * 100"), Down: r.sql(n, "[w] / 100"),
			}
		}),
		old: simple("[v]"), new: simple("[w]").seen(func(v string) string { return v + "00" }),
		refused: []string{"INSERT INTO [t] ([id]) VALUES (900001)"},
		before:  []string{"id", "v"}, after: []string{"id", "w"}, numbers: 1000,
	},
	{
		name: "RenameColumn", create: []string{table},
		ops: one(func(_ *run, n names) migrate.Op {
			return migrate.RenameColumn{Table: n["t"], Old: n["v"], New: n["w"]}
		}),
		old: simple("[v]"), new: simple("[w]"),
		before: []string{"id", "v"}, after: []string{"id", "w"},
	},
	{
		name: "RenameColumn of a composite key's table", create: []string{"CREATE TABLE [t] ([id] <int> NOT NULL, [x] <text> NOT NULL, [v] <text>, PRIMARY KEY ([x], [id]))"},
		ops: one(func(_ *run, n names) migrate.Op {
			return migrate.RenameColumn{Table: n["t"], Old: n["v"], New: n["w"]}
		}),
		old:    simple("[v]").inserting("INSERT INTO [t] ([id], [x], [v]) VALUES (:id, 'a', :v)"),
		new:    simple("[w]").inserting("INSERT INTO [t] ([id], [x], [w]) VALUES (:id, 'b', :v)"),
		before: []string{"id", "x", "v"}, after: []string{"id", "x", "w"},
	},
	{
		name: "ChangeType", create: []string{"CREATE TABLE [t] ([id] <int> PRIMARY KEY, [v] <int>)"},
		ops: one(func(r *run, n names) migrate.Op {
			return migrate.ChangeType{Table: n["t"], Column: n["v"], Type: r.Types.Big}
		}),
		old: simple("[v]"), new: simple("[v]"),
		before: []string{"id", "v"}, after: []string{"id", "v"}, numbers: 1000,
	},
	{
		name: "AddColumn", create: []string{table},
		ops: one(func(r *run, n names) migrate.Op {
			return migrate.AddColumn{Table: n["t"], Column: n["w"], Type: r.Types.Text}
		}),
		old: simple("[v]"), new: simple("[v]").inserting("INSERT INTO [t] ([id], [v], [w]) VALUES (:id, :v, 'more')"),
		before: []string{"id", "v"}, after: []string{"id", "v", "w"},
	},
	{
		name: "AddColumn, Backfill, MakeNotNull", create: []string{table},
		ops: func(r *run, n names) []migrate.Op {
			return []migrate.Op{
				migrate.AddColumn{Table: n["t"], Column: n["w"], Type: r.Types.Text},
				migrate.Backfill{Table: n["t"], Column: n["w"], Value: "'filled'"},
				migrate.MakeNotNull{Table: n["t"], Column: n["w"]},
			}
		},
		old: simple("[v]"),
		new: version{
			insert: []string{"INSERT INTO [t] ([id], [v], [w]) VALUES (:id, :v, 'filled')"},
			update: simple("[v]").update, remove: simple("[v]").remove,
			read: "SELECT [v] FROM [t] WHERE [id] = :id AND [w] = 'filled'",
		},
		refused: []string{"UPDATE [t] SET [w] = NULL WHERE [v] IS NOT NULL"},
		before:  []string{"id", "v"}, after: []string{"id", "v", "w"},
	},
	{
		name: "AddIndex", create: []string{table},
		ops: one(func(r *run, n names) migrate.Op {
			return migrate.AddIndex{Table: n["t"], Name: n["x"], Columns: []string{r.sql(n, "[v]")}}
		}),
		old: simple("[v]"), new: simple("[v]"),
		before: []string{"id", "v"}, after: []string{"id", "v"},
	},
	{
		name: "AddIndex Unique", create: []string{"CREATE TABLE [t] ([id] <int> PRIMARY KEY, [v] <text>, [w] <int>)"},
		ops: one(func(r *run, n names) migrate.Op {
			return migrate.AddIndex{Table: n["t"], Name: n["x"], Columns: []string{r.sql(n, "[w]")}, Unique: true}
		}),
		old: simple("[v]"), new: simple("[v]").inserting("INSERT INTO [t] ([id], [v], [w]) VALUES (:id, :v, :id)"),
		refused: []string{"INSERT INTO [t] ([id], [w]) VALUES (900001, 7), (900002, 7)"},
		before:  []string{"id", "v", "w"}, after: []string{"id", "v", "w"},
	},
	{
		name: "AddForeignKey",
		create: []string{
			"CREATE TABLE [u] ([id] <int> PRIMARY KEY)", "CREATE TABLE [t] ([id] <int> PRIMARY KEY, [v] <int>)",
			"INSERT INTO [u] VALUES (1), (2), (3), (4), (5)",
		},
		ops: one(func(_ *run, n names) migrate.Op {
			return migrate.AddForeignKey{Table: n["t"], Name: n["x"], Columns: []string{n["v"]}, To: n["u"], Refer: []string{n["id"]}}
		}),
		old: simple("[v]"), new: simple("[v]"),
		refused: []string{"INSERT INTO [t] ([id], [v]) VALUES (900001, 6)"},
		before:  []string{"id", "v"}, after: []string{"id", "v"}, numbers: 5,
	},
	{
		name: "AddCheck", create: []string{"CREATE TABLE [t] ([id] <int> PRIMARY KEY, [v] <int>)"},
		ops: one(func(r *run, n names) migrate.Op {
			return migrate.AddCheck{Table: n["t"], Name: n["x"], Holds: r.sql(n, "[v] > 0")}
		}),
		old: simple("[v]"), new: simple("[v]"),
		refused: []string{"INSERT INTO [t] ([id], [v]) VALUES (900001, 0)"},
		before:  []string{"id", "v"}, after: []string{"id", "v"}, numbers: 100,
	},
	{
		name: "SplitTable", create: []string{"CREATE TABLE [t] ([id] <int> PRIMARY KEY, [v] <text>, [w] <text>)"},
		ops: one(func(_ *run, n names) migrate.Op {
			return migrate.SplitTable{Table: n["t"], Into: n["u"], Columns: []string{n["v"]}}
		}),
		old: simple("[v]"),
		new: version{
			insert: []string{"INSERT INTO [t] ([id], [w]) VALUES (:id, 'new')", "UPDATE [u] SET [v] = :v WHERE [id] = :id else", "INSERT INTO [u] ([id], [v]) VALUES (:id, :v)"},
			update: []string{"UPDATE [u] SET [v] = :v WHERE [id] = :id else", "INSERT INTO [u] ([id], [v]) VALUES (:id, :v)"},
			remove: []string{"DELETE FROM [u] WHERE [id] = :id", "DELETE FROM [t] WHERE [id] = :id"},
			read:   "SELECT [v] FROM [u] WHERE [id] = :id",
		},
		before: []string{"id", "v", "w"}, after: []string{"id", "w"}, made: "u",
	},
	{
		name: "DropColumn", create: []string{"CREATE TABLE [t] ([id] <int> PRIMARY KEY, [v] <text>, [w] <text> NOT NULL)"},
		ops: one(func(_ *run, n names) migrate.Op {
			return migrate.DropColumn{Table: n["t"], Column: n["w"], Fill: "'filled'"}
		}),
		old: version{
			insert: []string{"INSERT INTO [t] ([id], [v], [w]) VALUES (:id, :v, 'old')"},
			update: simple("[v]").update, remove: simple("[v]").remove,
			read: "SELECT [v] FROM [t] WHERE [id] = :id AND [w] IN ('old', 'filled')",
		},
		new:    simple("[v]"),
		before: []string{"id", "v", "w"}, after: []string{"id", "v"},
	},
	{
		name: "DropTable", create: []string{table, "CREATE TABLE [u] ([id] <int> PRIMARY KEY, [w] <text>)", "INSERT INTO [u] VALUES (-1, 'kept')"},
		ops: one(func(_ *run, n names) migrate.Op { return migrate.DropTable{Table: n["u"]} }),
		old: version{
			insert: []string{"INSERT INTO [t] ([id], [v]) VALUES (:id, :v)", "INSERT INTO [u] ([id], [w]) VALUES (:id, 'old')"},
			update: simple("[v]").update, remove: simple("[v]").remove,
			read: "SELECT [v] FROM [t] WHERE [id] = :id AND EXISTS (SELECT 1 FROM [u] WHERE [id] = -1)",
		},
		new:    simple("[v]"),
		before: []string{"id", "v"}, after: []string{"id", "v"}, gone: "u",
	},
	{
		name: "SQL", create: []string{table},
		ops: one(func(r *run, n names) migrate.Op {
			return migrate.SQL{
				Name: "a table of its own", Safe: "nobody uses it yet",
				Do:   []string{r.sql(n, "CREATE TABLE [u] ([id] <int> PRIMARY KEY)"), r.sql(n, "INSERT INTO [u] VALUES (1)")},
				Undo: []string{r.sql(n, "DROP TABLE [u]")},
			}
		}),
		old: simple("[v]"), new: simple("[v]").inserting("INSERT INTO [t] ([id], [v]) VALUES (:id, :v)", "UPDATE [u] SET [id] = 1"),
		before: []string{"id", "v"}, after: []string{"id", "v"}, made: "u",
	},
}

func (v version) inserting(statements ...string) version {
	v.insert = statements
	return v
}
