// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"slices"
	"strconv"
	"strings"
)

// canonical is a name as Route 53 keeps it.
func canonical(name string) string {
	if name == "" {
		return ""
	}
	return strings.TrimSuffix(strings.ReplaceAll(strings.ToLower(name), "*", `\052`), ".") + "."
}

// order is what record sets are sorted by: labels from the right, type, identifier.
func order(name, kind, identifier string) []string {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	slices.Reverse(labels)
	return []string{strings.Join(labels, "\x00"), kind, identifier}
}

func orderOf(r *node) []string { return order(r.str("Name"), r.str("Type"), r.str("SetIdentifier")) }

// same is a text that two record sets share if and only if they are the same,
// whatever the order of their fields.
func same(r *node) string {
	copied := r.clone()
	var tidy func(n *node)
	tidy = func(n *node) {
		for _, kid := range n.kids {
			tidy(kid)
		}
		slices.SortFunc(n.kids, func(a, b *node) int { return strings.Compare(a.String(), b.String()) })
	}
	tidy(copied)
	return copied.String()
}

// apply is the records after one change; records is left alone.
func apply(records []*node, action string, record *node) ([]*node, *fault) {
	record = record.clone()
	record.set("Name", canonical(record.str("Name")))
	at := slices.IndexFunc(records, func(r *node) bool { return slices.Equal(orderOf(r), orderOf(record)) })
	what := "resource record set [name='" + record.str("Name") + "', type='" + record.str("Type") + "'"
	if id := record.str("SetIdentifier"); id != "" {
		what += ", set identifier='" + id + "'"
	}
	what += "]"
	after := slices.Clone(records)
	switch action {
	case "DELETE":
		switch {
		case at < 0:
			return nil, invalid("InvalidChangeBatch", "[Tried to delete %s but it was not found]", what)
		case same(records[at]) != same(record):
			return nil, invalid("InvalidChangeBatch", "[Tried to delete %s but the values provided do not match the current values]", what)
		}
		return slices.Delete(after, at, at+1), nil
	case "CREATE":
		if at >= 0 {
			return nil, invalid("InvalidChangeBatch", "[Tried to create %s but it already exists]", what)
		}
	case "UPSERT":
		if at >= 0 {
			after = slices.Delete(after, at, at+1)
		}
	default:
		return nil, invalid("InvalidInput", "Action %q: want CREATE, DELETE or UPSERT", action)
	}
	if f := valid(after, record, what); f != nil {
		return nil, f
	}
	after = append(after, record)
	slices.SortStableFunc(after, func(a, b *node) int { return slices.Compare(orderOf(a), orderOf(b)) })
	return after, nil
}

// valid refuses what Route 53 does.
func valid(others []*node, record *node, what string) *fault {
	weight, weighted := record.get("Weight"), record.get("Weight") != nil
	if weighted {
		if w, err := strconv.Atoi(weight.text); err != nil || w < 0 || w > maxRecordWeight {
			return invalid("InvalidInput", "Invalid value for 'weight' of %s: must be between 0 and %d", what, maxRecordWeight)
		}
	}
	alias, ttl := record.get("AliasTarget") != nil, record.get("TTL")
	switch seconds, err := strconv.ParseInt(record.str("TTL"), 10, 64); {
	case weighted != (record.str("SetIdentifier") != ""):
		return invalid("InvalidInput", "Invalid request: a routing policy and a SetIdentifier go together in %s", what)
	case alias && (ttl != nil || record.get("ResourceRecords") != nil):
		return invalid("InvalidInput", "Invalid request: an alias has no TTL and no values in %s", what)
	case !alias && (err != nil || seconds < 0 || seconds > maxTTL):
		return invalid("InvalidInput", "Invalid value for 'TTL' of %s", what)
	case !alias && len(record.list("ResourceRecords")) == 0:
		return invalid("InvalidInput", "Invalid request: no values in %s", what)
	}
	for _, value := range record.list("ResourceRecords") {
		if record.str("Type") == "TXT" && !quoted(value.str("Value")) {
			return invalid("InvalidChangeBatch", "[Invalid Resource Record: FATAL problem: InvalidCharacterString (Value should be enclosed in quotation marks, of at most 255 characters each) encountered with %q]", value.str("Value"))
		}
	}
	for _, other := range others {
		if other.str("Name") != record.str("Name") {
			continue
		}
		sameType := other.str("Type") == record.str("Type")
		if sameType && (other.get("Weight") != nil) != weighted || !sameType && (other.str("Type") == "CNAME" || record.str("Type") == "CNAME") {
			return invalid("InvalidChangeBatch", "[%s is not permitted as it conflicts with other records with the same DNS name]", what)
		}
	}
	return nil
}

// quoted reports whether a TXT value is strings in quotation marks, separated by blanks.
func quoted(value string) bool {
	for {
		rest, ok := strings.CutPrefix(value, `"`)
		if !ok {
			return false
		}
		end := strings.IndexByte(rest, '"')
		if end < 0 || end > 255 {
			return false
		}
		if value = strings.TrimLeft(rest[end+1:], " "); value == "" {
			return true
		}
	}
}
