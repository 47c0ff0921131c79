// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxDepth bounds how deep a request may nest.
const maxDepth = 32

// node is a piece of a request or a reply: an XML element, or the same told by
// the keys of a form. Fields that the server knows nothing of are kept in it as they came.
type node struct {
	name, text string
	kids       []*node
}

// parseXML reads a document.
func parseXML(body []byte) (*node, error) {
	decoder := xml.NewDecoder(bytes.NewReader(body))
	stack := []*node{{}}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		top := stack[len(stack)-1]
		switch token := token.(type) {
		case xml.StartElement:
			if len(stack) > maxDepth {
				return nil, errors.New("nested too deep")
			}
			kid := &node{name: token.Name.Local}
			top.kids = append(top.kids, kid)
			stack = append(stack, kid)
		case xml.EndElement:
			if len(top.kids) > 0 {
				top.text = ""
			}
			stack = stack[:len(stack)-1]
		case xml.CharData:
			top.text += string(token)
		}
	}
	if len(stack[0].kids) != 1 {
		return nil, errors.New("want one element")
	}
	return stack[0].kids[0], nil
}

// parseForm reads keys such as Actions.member.1.Type as a tree, lists in order.
func parseForm(form url.Values) (*node, error) {
	root := &node{}
	keys := make([]string, 0, len(form))
	for key := range form {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, naturally)
	for _, key := range keys {
		parts := strings.Split(key, ".")
		if len(parts) > maxDepth {
			return nil, errors.New("nested too deep")
		}
		at := root
		for _, part := range parts {
			at = at.child(part)
		}
		at.text = form.Get(key)
	}
	return root.lists(), nil
}

// naturally orders keys with their numbers as numbers.
func naturally(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(a, b string) int {
		x, errX := strconv.Atoi(a)
		y, errY := strconv.Atoi(b)
		if errX == nil && errY == nil {
			return x - y
		}
		return strings.Compare(a, b)
	})
}

// lists turns member.1 and member.2 into two members.
func (n *node) lists() *node {
	var kids []*node
	for _, kid := range n.kids {
		kid.lists()
		if (kid.name == "member" || kid.name == "entry") && len(kid.kids) > 0 {
			for _, item := range kid.kids {
				item.name = kid.name
				kids = append(kids, item)
			}
			continue
		}
		kids = append(kids, kid)
	}
	n.kids = kids
	return n
}

// get is the node at the path, or nil. A nil node has nothing.
func (n *node) get(path ...string) *node {
	for _, name := range path {
		if n == nil {
			return nil
		}
		i := slices.IndexFunc(n.kids, func(k *node) bool { return k.name == name })
		if i < 0 {
			return nil
		}
		n = n.kids[i]
	}
	return n
}

// str is the text at the path, or "".
func (n *node) str(path ...string) string {
	if found := n.get(path...); found != nil {
		return strings.TrimSpace(found.text)
	}
	return ""
}

// list is the children of the node at the path.
func (n *node) list(path ...string) []*node {
	if found := n.get(path...); found != nil {
		return found.kids
	}
	return nil
}

// child is the child of that name, made where there is none.
func (n *node) child(name string) *node {
	if found := n.get(name); found != nil {
		return found
	}
	kid := &node{name: name}
	n.kids = append(n.kids, kid)
	return kid
}

// set makes the child of that name have that text.
func (n *node) set(name, text string) *node {
	n.child(name).text = text
	return n
}

// drop takes out the children of that name.
func (n *node) drop(name string) {
	n.kids = slices.DeleteFunc(n.kids, func(k *node) bool { return k.name == name })
}

// add appends the nodes.
func (n *node) add(kids ...*node) *node {
	n.kids = append(n.kids, kids...)
	return n
}

// clone is a copy that shares nothing with n.
func (n *node) clone() *node {
	copied := &node{name: n.name, text: n.text}
	for _, kid := range n.kids {
		copied.kids = append(copied.kids, kid.clone())
	}
	return copied
}

// byName puts fields in the order of their names, and leaves lists in theirs.
func (n *node) byName() *node {
	for _, kid := range n.kids {
		kid.byName()
	}
	slices.SortStableFunc(n.kids, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	return n
}

// element is a new node with children.
func element(name string, kids ...*node) *node { return &node{name: name, kids: kids} }

// text is a new node with a text.
func text(name, value string) *node { return &node{name: name, text: value} }

// String is the node as XML.
func (n *node) String() string {
	var b strings.Builder
	n.write(&b, "")
	return b.String()
}

func (n *node) write(b *strings.Builder, space string) {
	b.WriteString("<" + n.name)
	if space != "" {
		b.WriteString(` xmlns="` + space + `"`)
	}
	b.WriteString(">")
	if len(n.kids) == 0 {
		_ = xml.EscapeText(b, []byte(strings.TrimSpace(n.text))) // a Builder cannot fail
	}
	for _, kid := range n.kids {
		kid.write(b, "")
	}
	b.WriteString("</" + n.name + ">")
}
