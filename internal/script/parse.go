// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"fmt"
	"slices"
	"strings"
)

const mark = "----"

// block is one command as it stands in a file.
type block struct {
	before []string // comments and empty lines before it, kept by -update
	source []string // the command line and its input, kept by -update
	cmd    Cmd
	want   []string
	after  []string // comments after the last block of a file
}

// parse reads the text of a file.
func parse(path, text string) ([]block, error) {
	all := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	var blocks []block
	for at := 0; ; {
		b := block{}
		for ; at < len(all) && between(all[at]); at++ {
			b.before = append(b.before, all[at])
		}
		if at == len(all) {
			if len(blocks) > 0 {
				blocks[len(blocks)-1].after = b.before
			}
			return blocks, nil
		}
		var err error
		if at, err = b.parse(path, all, at); err != nil {
			return nil, err
		}
		blocks = append(blocks, b)
	}
}

// between reports whether a line may stand between two blocks.
func between(line string) bool {
	return strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#")
}

// parse reads the command at line at, its input and the answer it should give,
// and says where it ends.
func (b *block) parse(path string, all []string, at int) (next int, err error) {
	pos := fmt.Sprintf("%s:%d", path, at+1)
	if b.cmd, err = ParseCmd(pos, all[at]); err != nil {
		return 0, err
	}
	end := at
	for ; end < len(all) && all[end] != mark; end++ {
		if strings.TrimSpace(all[end]) == "" {
			break
		}
	}
	if end == len(all) || all[end] != mark {
		return 0, fmt.Errorf("%s: no %s before the next empty line", pos, mark)
	}
	if end == at {
		return 0, fmt.Errorf("%s: %s without a command before it", pos, mark)
	}
	b.source = all[at:end]
	b.cmd.Input = b.source[1:]

	at = end + 1
	if at < len(all) && all[at] == mark { // doubled: empty lines belong to the answer
		for end = at + 1; end+1 < len(all); end++ {
			if all[end] == mark && all[end+1] == mark {
				b.want = all[at+1 : end]
				return end + 2, nil
			}
		}
		return 0, fmt.Errorf("%s: the doubled %s is not closed", pos, mark)
	}
	for end = at; end < len(all) && strings.TrimSpace(all[end]) != ""; end++ {
		if all[end] == mark {
			return 0, fmt.Errorf("%s:%d: %s within an answer; is an empty line missing before the next command?", path, end+1, mark)
		}
	}
	b.want = all[at:end]
	return end, nil
}

// format writes blocks as a file.
func format(blocks []block) string {
	var out []string
	for i, b := range blocks {
		if i > 0 && (len(b.before) == 0 || strings.TrimSpace(b.before[0]) != "") {
			out = append(out, "")
		}
		out = append(out, b.before...)
		out = append(out, b.source...)
		out = append(out, mark)
		if slices.Contains(b.want, "") || slices.Contains(b.want, mark) {
			out = append(out, mark)
			out = append(out, b.want...)
			out = append(out, mark, mark)
		} else {
			out = append(out, b.want...)
		}
		out = append(out, b.after...)
	}
	return strings.TrimRight(strings.Join(out, "\n"), "\n") + "\n"
}

// diff is want and got side by side as a list: lines of want alone start with
// "-", of got alone with "+". It keeps the longest common run of lines.
func diff(want, got []string) string {
	// length[i][j] is the longest common subsequence of want[i:] and got[j:].
	length := make([][]int, len(want)+1)
	for i := range length {
		length[i] = make([]int, len(got)+1)
	}
	for i, w := range slices.Backward(want) {
		for j, g := range slices.Backward(got) {
			if w == g {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	var out strings.Builder
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case i < len(want) && j < len(got) && want[i] == got[j]:
			fmt.Fprintf(&out, "    %s\n", want[i])
			i, j = i+1, j+1
		case j == len(got) || i < len(want) && length[i+1][j] >= length[i][j+1]:
			fmt.Fprintf(&out, "  - %s\n", want[i])
			i++
		default:
			fmt.Fprintf(&out, "  + %s\n", got[j])
			j++
		}
	}
	return out.String()
}
