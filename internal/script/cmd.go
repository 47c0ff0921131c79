// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Cmd is one command of a file.
type Cmd struct {
	// Pos is the file and the line of the command, for messages.
	Pos string
	// Name is the command's first word.
	Name string
	// Args are its other words, in order.
	Args []Arg
	// Input is the lines between the command and the mark.
	Input []string
}

// Arg is one word after a command's name: key=value, or a bare word, which has
// only a Value. A value with blanks stands in double quotes, as Go writes them.
type Arg struct {
	Key   string
	Value string
}

// String is the word as it could stand in a file.
func (a Arg) String() string {
	value := a.Value
	if strings.ContainsAny(value, " \t\"\\") || value == "" || a.Key == "" && strings.Contains(value, "=") {
		value = strconv.Quote(value)
	}
	if a.Key == "" {
		return value
	}
	return a.Key + "=" + value
}

// String is the command's line, without its input.
func (c Cmd) String() string {
	words := []string{c.Name}
	for _, a := range c.Args {
		words = append(words, a.String())
	}
	return strings.Join(words, " ")
}

// Get is the value of the first argument with this key, and whether there is one.
func (c Cmd) Get(key string) (string, bool) {
	for _, a := range c.Args {
		if a.Key == key {
			return a.Value, true
		}
	}
	return "", false
}

// Bare is the arguments without a key, in order.
func (c Cmd) Bare() []string {
	var bare []string
	for _, a := range c.Args {
		if a.Key == "" {
			bare = append(bare, a.Value)
		}
	}
	return bare
}

// Only is an error when the command has an argument whose key is not in keys, or
// one twice: a misspelt key that is ignored makes a test that proves nothing.
func (c Cmd) Only(keys ...string) error {
	seen := map[string]bool{}
	for _, a := range c.Args {
		switch {
		case a.Key == "":
		case !slices.Contains(keys, a.Key):
			return fmt.Errorf("%s: %s: unknown argument %q; want one of %q", c.Pos, c.Name, a.Key, keys)
		case seen[a.Key]:
			return fmt.Errorf("%s: %s: argument %q is given twice", c.Pos, c.Name, a.Key)
		}
		seen[a.Key] = true
	}
	return nil
}

// Lines is the command and then each line of its input as a command of its own,
// for scripts where several commands share one answer.
func (c Cmd) Lines() ([]Cmd, error) {
	file, first, err := splitPos(c.Pos)
	if err != nil {
		return nil, err
	}
	all := []Cmd{{Pos: c.Pos, Name: c.Name, Args: c.Args}}
	for i, line := range c.Input {
		next, err := ParseCmd(fmt.Sprintf("%s:%d", file, first+1+i), line)
		if err != nil {
			return nil, err
		}
		all = append(all, next)
	}
	return all, nil
}

func splitPos(pos string) (file string, line int, err error) {
	i := strings.LastIndexByte(pos, ':')
	if i < 0 {
		return "", 0, fmt.Errorf("script: position %q: want file:line", pos)
	}
	line, err = strconv.Atoi(pos[i+1:])
	if err != nil {
		return "", 0, fmt.Errorf("script: position %q: want file:line", pos)
	}
	return pos[:i], line, nil
}

// ParseCmd reads one command line. pos is what its Pos will be.
func ParseCmd(pos, line string) (Cmd, error) {
	c := Cmd{Pos: pos}
	rest := strings.TrimSpace(line)
	for rest != "" {
		var a Arg
		if i := strings.IndexAny(rest, "= \t\""); i > 0 && rest[i] == '=' {
			a.Key, rest = rest[:i], rest[i+1:]
		}
		var err error
		if a.Value, rest, err = word(rest); err != nil {
			return Cmd{}, fmt.Errorf("%s: %w", pos, err)
		}
		if c.Name == "" {
			if a.Key != "" || a.Value == "" {
				return Cmd{}, fmt.Errorf("%s: %q: start with the command's name", pos, line)
			}
			c.Name = a.Value
			continue
		}
		c.Args = append(c.Args, a)
	}
	if c.Name == "" {
		return Cmd{}, fmt.Errorf("%s: an empty line where a command should stand", pos)
	}
	return c, nil
}

// word takes one value off s, quoted or not, and the blanks after it.
func word(s string) (value, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, " \t")
		if i < 0 {
			i = len(s)
		}
		return s[:i], strings.TrimLeft(s[i:], " \t"), nil
	}
	quoted, err := strconv.QuotedPrefix(s)
	if err != nil {
		return "", "", fmt.Errorf("%s: the quote is not closed", s)
	}
	value, err = strconv.Unquote(quoted)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", quoted, err)
	}
	rest = s[len(quoted):]
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return "", "", fmt.Errorf("%s: a blank is missing after the closing quote", s)
	}
	return value, strings.TrimLeft(rest, " \t"), nil
}
