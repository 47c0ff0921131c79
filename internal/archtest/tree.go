// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"bytes"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// header is how every Go file starts.
const header = "// Copyright The rheostat Authors\n// SPDX-License-Identifier: Apache-2.0\n\n"

// machinePath finds absolute paths of somebody's machine. A path of a URL does
// not match, because something stands before its first slash.
var machinePath = regexp.MustCompile("(^|[\\s\"'`(=:,])/(home|root|tmp|Users|work)/")

// Tree checks the text of every file below root: licence headers, and no paths
// of the machine it was written on.
func Tree(root fs.FS) ([]Problem, error) {
	var problems []Problem
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || name == "bin"):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		if bytes.IndexByte(text, 0) >= 0 { // not text
			return nil
		}
		problems = append(problems, treeFile(name, string(text))...)
		return nil
	})
	return problems, err
}

func treeFile(name, text string) []Problem {
	var problems []Problem
	if path.Ext(name) == ".go" && !strings.HasPrefix(text, header) {
		problems = append(problems, problemf(name, "a file that is copied alone must still say whose it is and under which licence",
			"does not start with the two header lines and an empty one"))
	}
	for i, line := range strings.Split(text, "\n") {
		if found := machinePath.FindString(line); found != "" {
			problems = append(problems, problemf(name, "the tree must read the same on every machine; use a relative path, t.TempDir or a flag",
				"line %d mentions a machine path %q", i+1, strings.TrimSpace(found)))
		}
	}
	return problems
}
