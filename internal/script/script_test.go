// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func echo(t *testing.T, cmd Cmd) string {
	t.Helper()
	var out strings.Builder
	switch cmd.Name {
	case "silent":
	case "paragraphs":
		return "first\n\nsecond\n"
	case "words":
		fmt.Fprintf(&out, "name %q\n", cmd.Name)
		for _, a := range cmd.Args {
			if a.Key == "" {
				fmt.Fprintf(&out, "bare %q\n", a.Value)
			} else {
				fmt.Fprintf(&out, "%s=%q\n", a.Key, a.Value)
			}
		}
	case "lines":
		all, err := cmd.Lines()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			fmt.Fprintf(&out, "%s %s\n", c.Pos, c)
		}
	default:
		t.Fatalf("%s: unknown command %q", cmd.Pos, cmd.Name)
	}
	return out.String()
}

func TestCommandsAreReadAsTheyStand(t *testing.T) {
	Run(t, "testdata/echo.txt", echo)
}

func TestEachFileHasItsOwnHandler(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.txt", "b.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("count\n----\n1\n\ncount\n----\n2\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opened := 0
	Each(t, filepath.Join(dir, "*.txt"), func(*testing.T) func(Cmd) string {
		opened++
		n := 0
		return func(Cmd) string { n++; return fmt.Sprint(n) }
	})
	if opened != 2 {
		t.Errorf("%d handlers for 2 files", opened)
	}
}

func TestFormattingWhatWasParsedChangesNothing(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/echo.txt")
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := parse("echo.txt", string(data))
	if err != nil {
		t.Fatal(err)
	}
	if got := format(blocks); got != string(data) {
		t.Errorf("changed:\n%s", diff(strings.Split(string(data), "\n"), strings.Split(got, "\n")))
	}
}

func TestMalformedFilesAreRefusedWithTheirLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"no mark", "a\n\nb\n----\n", "f:1: no ----"},
		{"no mark at the end", "a\n----\n\nb", "f:4: no ----"},
		{"no command", "----\nout\n", "f:1: ---- without a command"},
		{"missing empty line", "a\n----\nout\nb\n----\n", "f:5: ---- within an answer"},
		{"doubled mark not closed", "a\n----\n----\nout\n", "f:1: the doubled ---- is not closed"},
		{"key before the name", "a=b\n----\n", "start with the command's name"},
		{"open quote", "a \"b\n----\n", "quote is not closed"},
		{"glued quote", "a \"b\"c\n----\n", "blank is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := parse("f", tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestArgumentsAreFoundAndHeldToAList(t *testing.T) {
	t.Parallel()
	cmd, err := ParseCmd("f:1", `step +3s hold=1m why="a b"`)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := cmd.Get("hold"); v != "1m" || !ok {
		t.Errorf("Get(hold) = %q, %v", v, ok)
	}
	if v, ok := cmd.Get("held"); v != "" || ok {
		t.Errorf("Get(held) = %q, %v; want none", v, ok)
	}
	if got := cmd.Bare(); len(got) != 1 || got[0] != "+3s" {
		t.Errorf("Bare() = %q", got)
	}
	if got := cmd.String(); got != `step +3s hold=1m why="a b"` {
		t.Errorf("String() = %s", got)
	}
	if err := cmd.Only("hold", "why"); err != nil {
		t.Error(err)
	}
	if err := cmd.Only("why"); err == nil {
		t.Error("Only let an unknown key pass")
	}
	cmd.Args = append(cmd.Args, Arg{"hold", "2m"})
	if err := cmd.Only("hold", "why"); err == nil {
		t.Error("Only let a key pass that is given twice")
	}
}

func TestDiffKeepsCommonLines(t *testing.T) {
	t.Parallel()
	got := diff([]string{"a", "b", "c"}, []string{"a", "x", "c", "d"})
	want := "    a\n  - b\n  + x\n    c\n  + d\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// storyEnv names a story for the helper test below, which then runs as a program
// of its own, so that its failure can be looked at.
const storyEnv = "RHEOSTAT_SCRIPT_STORY"

func TestHelperStory(t *testing.T) {
	path := os.Getenv(storyEnv)
	if path == "" {
		t.Skip("runs only as a child of the tests below")
	}
	Run(t, path, echo)
}

func runStory(t *testing.T, path string, flags ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"-test.run=^TestHelperStory$", "-test.v"}, flags...)...)
	cmd.Env = append(os.Environ(), storyEnv+"="+path)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestAWrongAnswerFailsAndUpdateWritesTheRightOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "story.txt")
	wrong := "# kept\nwords one\n----\nname \"words\"\nbare \"two\"\n\n# kept too\nparagraphs\n----\nold\n\n# at the end\n"
	if err := os.WriteFile(path, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}

	out, err := runStory(t, path)
	if err == nil {
		t.Fatalf("a wrong answer passed:\n%s", out)
	}
	for _, want := range []string{"story.txt:2: words one", `- bare "two"`, `+ bare "one"`, "story.txt:8: paragraphs"} {
		if !strings.Contains(out, want) {
			t.Errorf("the failure does not say %q:\n%s", want, out)
		}
	}

	if out, err := runStory(t, path, "-update"); err != nil {
		t.Fatalf("-update failed: %v\n%s", err, out)
	}
	want := "# kept\nwords one\n----\nname \"words\"\nbare \"one\"\n\n# kept too\nparagraphs\n----\n----\nfirst\n\nsecond\n----\n----\n\n# at the end\n"
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, []byte(want)) {
		t.Errorf("-update wrote\n%s", diff(strings.Split(want, "\n"), strings.Split(string(got), "\n")))
	}
	if out, err := runStory(t, path); err != nil {
		t.Errorf("what -update wrote does not pass: %v\n%s", err, out)
	}
}

func TestAStoryThatCannotFailIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "empty.txt")
	if err := os.WriteFile(path, []byte("# nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := runStory(t, path); err == nil || !strings.Contains(out, "no command") {
		t.Errorf("a file without commands: %v\n%s", err, out)
	}
	if out, err := runStory(t, filepath.Join(t.TempDir(), "*.txt")); err == nil || !strings.Contains(out, "no file matches") {
		t.Errorf("a pattern without files: %v\n%s", err, out)
	}
}
