// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	spaceDNS        = "https://route53.amazonaws.com/doc/2013-04-01/"
	maxRecordWeight = 255
	maxBatch        = 1000
	maxTTL          = 2147483647
	pending         = "PENDING"
	inSync          = "INSYNC"
)

// DNS is Route 53: hosted zones with their record sets, and the changes of them.
type DNS struct {
	server  *Server
	zones   map[string]*zone
	changes map[string]*change
	slow    int
}

// zone is what is stored, and what the name servers have by now.
type zone struct{ stored, live []*node }

// change is a batch that the name servers may not all have yet.
type change struct {
	zone  string
	after []*node
	looks int
}

// AddZone makes an empty hosted zone.
func (d *DNS) AddZone(id string) {
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	d.zones[id] = &zone{}
}

// Put creates or changes a record set, written as the XML of a
// ResourceRecordSet, at once and everywhere: as another tool did some time ago.
func (d *DNS) Put(zone, record string) error {
	parsed, err := parseXML([]byte(record))
	if err != nil {
		return fmt.Errorf("awstest: %w", err)
	}
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	z := d.zones[zone]
	if z == nil {
		return fmt.Errorf("awstest: no zone %s", zone)
	}
	after, f := apply(z.stored, "UPSERT", parsed)
	if f != nil {
		return fmt.Errorf("awstest: %s: %s", f.code, f.message)
	}
	z.stored, z.live = after, after
	return nil
}

// Weigh changes the weight of one record set and nothing else, at once.
func (d *DNS) Weigh(zone, name, kind, identifier string, weight int) error {
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	z := d.zones[zone]
	if z == nil {
		return fmt.Errorf("awstest: no zone %s", zone)
	}
	for i, r := range z.stored {
		if r.str("Name") == canonical(name) && r.str("Type") == kind && r.str("SetIdentifier") == identifier {
			changed := r.clone().set("Weight", strconv.Itoa(weight))
			z.stored = slices.Clone(z.stored)
			z.stored[i] = changed
			z.live = z.stored
			return nil
		}
	}
	return fmt.Errorf("awstest: no record set %s %s %s", name, kind, identifier)
}

// Slow makes each change from now on stay PENDING for so many looks with
// GetChange. 0 is INSYNC at once; below 0 is until Settle.
func (d *DNS) Slow(looks int) {
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	d.slow = looks
}

// Settle makes all changes INSYNC.
func (d *DNS) Settle() {
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	for _, c := range d.changes {
		c.looks = 0
	}
	for _, z := range d.zones {
		z.live = z.stored
	}
}

// Pick is the set identifier of the record set that answers the next query, by
// what the name servers have.
func (d *DNS) Pick(zone, name, kind string) (string, error) {
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	z := d.zones[zone]
	if z == nil {
		return "", fmt.Errorf("awstest: no zone %s", zone)
	}
	sum := 0
	var set []*node
	for _, r := range z.live {
		if r.str("Name") == canonical(name) && r.str("Type") == kind {
			set = append(set, r)
			sum += number(r.str("Weight"))
		}
	}
	if len(set) == 0 {
		return "", fmt.Errorf("awstest: NXDOMAIN %s", name)
	}
	if sum == 0 { // all weights 0 are equal weights
		return set[rand.IntN(len(set))].str("SetIdentifier"), nil //nolint:gosec // chance is enough here
	}
	at := rand.IntN(sum)
	i := slices.IndexFunc(set, func(r *node) bool { at -= number(r.str("Weight")); return at < 0 })
	return set[i].str("SetIdentifier"), nil
}

// Rest is all record sets of a zone but those called except, without the weights, as text.
func (d *DNS) Rest(zone, except string) string {
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	var b strings.Builder
	if z := d.zones[zone]; z != nil {
		for _, r := range z.stored {
			if r.str("Name") == canonical(except) {
				continue
			}
			r = r.clone()
			r.drop("Weight")
			b.WriteString(same(r) + "\n")
		}
	}
	return b.String()
}

func (d *DNS) call(r *http.Request, body []byte) call {
	parts := strings.Split(strings.Trim(strings.TrimPrefix(r.URL.Path, "/2013-04-01/"), "/"), "/")
	refuse := refuseXML(spaceDNS)
	answer := func(n *node, f *fault) reply {
		if f != nil {
			return refuse(*f)
		}
		return asXML(spaceDNS, n)
	}
	switch {
	case len(parts) == 3 && parts[2] == "rrset" && r.Method == http.MethodPost:
		return call{"ChangeResourceRecordSets", func() reply { return answer(d.change(parts[1], body)) }}
	case len(parts) == 3 && parts[2] == "rrset":
		return call{"ListResourceRecordSets", func() reply { return answer(d.list(parts[1], r.URL.Query())) }}
	case len(parts) == 2 && parts[0] == "change":
		return call{"GetChange", func() reply { return answer(d.look(parts[1])) }}
	}
	return call{"", func() reply { return refuse(*invalid("InvalidInput", "no such call")) }}
}

func noSuchZone(id string) *fault {
	return &fault{http.StatusNotFound, "NoSuchHostedZone", "No hosted zone found with ID: " + id}
}

func (d *DNS) list(id string, query url.Values) (*node, *fault) {
	z := d.zones[id]
	if z == nil {
		return nil, noSuchZone(id)
	}
	limit, err := strconv.Atoi(cmp.Or(query.Get("maxitems"), "300"))
	if err != nil || limit < 1 {
		return nil, invalid("InvalidInput", "maxitems: want a number")
	}
	sets := element("ResourceRecordSets")
	from := order(canonical(query.Get("name")), query.Get("type"), query.Get("identifier"))
	answer := element("ListResourceRecordSetsResponse", sets, text("MaxItems", strconv.Itoa(limit)))
	for _, r := range z.stored {
		if query.Get("name") != "" && slices.Compare(orderOf(r), from) < 0 {
			continue
		}
		if len(sets.kids) == limit {
			answer.add(text("IsTruncated", "true"), text("NextRecordName", r.str("Name")), text("NextRecordType", r.str("Type")))
			if id := r.str("SetIdentifier"); id != "" {
				answer.add(text("NextRecordIdentifier", id))
			}
			return answer, nil
		}
		sets.add(r)
	}
	return answer.add(text("IsTruncated", "false")), nil
}

func (d *DNS) change(id string, body []byte) (*node, *fault) {
	z := d.zones[id]
	if z == nil {
		return nil, noSuchZone(id)
	}
	request, err := parseXML(body)
	if err != nil {
		return nil, invalid("MalformedXML", "%v", err)
	}
	changes := request.list("ChangeBatch", "Changes")
	if len(changes) == 0 || len(changes) > maxBatch {
		return nil, invalid("InvalidChangeBatch", "Number of records limit of %d exceeded, or none given", maxBatch)
	}
	after := z.stored
	for _, c := range changes {
		record := c.get("ResourceRecordSet")
		if record == nil {
			return nil, invalid("InvalidInput", "a change without a ResourceRecordSet")
		}
		var f *fault
		if after, f = apply(after, c.str("Action"), record); f != nil {
			return nil, f
		}
	}
	z.stored = after
	key := "C" + strconv.Itoa(len(d.changes)+1)
	d.changes[key] = &change{id, after, d.slow}
	if d.slow == 0 {
		z.live = after
	}
	return element("ChangeResourceRecordSetsResponse", d.info(key)), nil
}

func (d *DNS) look(key string) (*node, *fault) {
	c := d.changes[key]
	if c == nil {
		return nil, &fault{http.StatusNotFound, "NoSuchChange", "Could not find resource with ID: " + key}
	}
	if c.looks > 0 {
		if c.looks--; c.looks == 0 {
			d.zones[c.zone].live = c.after
		}
	}
	return element("GetChangeResponse", d.info(key)), nil
}

func (d *DNS) info(key string) *node {
	status := pending
	if d.changes[key].looks == 0 {
		status = inSync
	}
	return element("ChangeInfo", text("Id", "/change/"+key), text("Status", status), text("SubmittedAt", "2026-01-02T03:04:05Z"))
}
