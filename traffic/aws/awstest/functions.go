// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	maxDescription   = 256
	latest           = "$LATEST"
	invalidParameter = "InvalidParameterValueException"
)

// Version is a published version of a function, as far as an alias cares.
type Version struct{ Role, DeadLetters string }

// Functions is Lambda: functions with versions and aliases.
type Functions struct {
	server    *Server
	functions map[string]*function
	revisions int
}

type function struct {
	versions map[string]Version
	aliases  map[string]*alias
}

// alias is in the shape of the protocol.
type alias struct {
	AliasArn        string
	Name            string
	FunctionVersion string
	Description     string
	RoutingConfig   *routing `json:",omitempty"`
	RevisionId      string   //nolint:revive // it is spelt so
}

type routing struct{ AdditionalVersionWeights map[string]float64 }

// AddVersion publishes a version of a function, which it makes if need be.
func (f *Functions) AddVersion(name, version string, v Version) {
	f.server.mu.Lock()
	defer f.server.mu.Unlock()
	if f.functions[name] == nil {
		f.functions[name] = &function{versions: map[string]Version{latest: {}}, aliases: map[string]*alias{}}
	}
	f.functions[name].versions[version] = v
}

// AddAlias makes an alias that is on one version.
func (f *Functions) AddAlias(name, aliasName, version, description string) {
	f.server.mu.Lock()
	defer f.server.mu.Unlock()
	f.functions[name].aliases[aliasName] = &alias{
		AliasArn: "arn:aws:lambda:eu-west-1:1:function:" + name + ":" + aliasName, Name: aliasName,
		FunctionVersion: version, Description: description, RevisionId: f.revision(),
	}
}

// Shift sets an alias's versions and their weights and nothing else, as another
// tool does. candidate "" is none.
func (f *Functions) Shift(name, aliasName, version, candidate string, weight float64) error {
	update := map[string]any{"FunctionVersion": version}
	weights := map[string]float64{}
	if candidate != "" {
		weights[candidate] = weight
	}
	update["RoutingConfig"] = routing{weights}
	body, err := json.Marshal(update)
	if err != nil {
		return fmt.Errorf("awstest: %w", err)
	}
	f.server.mu.Lock()
	defer f.server.mu.Unlock()
	if _, no := f.update(name, aliasName, body); no != nil {
		return fmt.Errorf("awstest: %s: %s", no.code, no.message)
	}
	return nil
}

// Pick is the version that the next call of the alias runs.
func (f *Functions) Pick(name, aliasName string) string {
	f.server.mu.Lock()
	defer f.server.mu.Unlock()
	a := f.functions[name].aliases[aliasName]
	if a.RoutingConfig != nil {
		at := rand.Float64() //nolint:gosec // chance is enough here
		for version, weight := range a.RoutingConfig.AdditionalVersionWeights {
			if at < weight {
				return version
			}
		}
	}
	return a.FunctionVersion
}

// Description is an alias's description.
func (f *Functions) Description(name, aliasName string) string {
	f.server.mu.Lock()
	defer f.server.mu.Unlock()
	return f.functions[name].aliases[aliasName].Description
}

func (f *Functions) revision() string {
	f.revisions++
	return fmt.Sprintf("00000000-0000-4000-8000-%012s", strconv.Itoa(f.revisions))
}

func (f *Functions) call(r *http.Request, body []byte) call {
	parts := strings.Split(strings.Trim(strings.TrimPrefix(r.URL.Path, "/2015-03-31/functions/"), "/"), "/")
	if len(parts) != 3 || parts[1] != "aliases" {
		return call{"", func() reply { return refuseJSON(*invalid("InvalidRequestContentException", "no such call")) }}
	}
	answer := func(a *alias, no *fault) reply {
		if no != nil {
			return refuseJSON(*no)
		}
		encoded, err := json.Marshal(a)
		if err != nil {
			return refuseJSON(fault{http.StatusInternalServerError, "ServiceException", err.Error()})
		}
		return reply{kind: "application/json", body: string(encoded)}
	}
	if r.Method == http.MethodPut {
		return call{"UpdateAlias", func() reply { return answer(f.update(parts[0], parts[2], body)) }}
	}
	return call{"GetAlias", func() reply { return answer(f.find(parts[0], parts[2])) }}
}

func (f *Functions) find(name, aliasName string) (*alias, *fault) {
	if fn := f.functions[name]; fn != nil && fn.aliases[aliasName] != nil {
		return fn.aliases[aliasName], nil
	}
	return nil, &fault{http.StatusNotFound, "ResourceNotFoundException", "Alias not found: " + name + ":" + aliasName}
}

// update changes the fields that a request names, all or none.
func (f *Functions) update(name, aliasName string, body []byte) (*alias, *fault) {
	var in struct {
		FunctionVersion, Description, RevisionId *string //nolint:revive // it is spelt so
		RoutingConfig                            *routing
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, invalid("InvalidRequestContentException", "%v", err)
	}
	a, no := f.find(name, aliasName)
	if no != nil {
		return nil, no
	}
	if in.RevisionId != nil && *in.RevisionId != a.RevisionId {
		return nil, &fault{http.StatusPreconditionFailed, "PreconditionFailedException", "The RevisionId provided does not match the latest RevisionId. Call the GetFunction or the GetAlias API to retrieve the latest RevisionId"}
	}
	next := *a
	if in.FunctionVersion != nil {
		next.FunctionVersion = *in.FunctionVersion
	}
	if in.Description != nil {
		next.Description = *in.Description
	}
	if in.RoutingConfig != nil {
		next.RoutingConfig = in.RoutingConfig
		if len(in.RoutingConfig.AdditionalVersionWeights) == 0 {
			next.RoutingConfig = nil
		}
	}
	if no := f.functions[name].valid(&next); no != nil {
		return nil, no
	}
	next.RevisionId = f.revision()
	*a = next
	return a, nil
}

// valid refuses what Lambda does.
func (fn *function) valid(a *alias) *fault {
	if len([]rune(a.Description)) > maxDescription {
		return invalid("ValidationException", "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to %d", maxDescription)
	}
	used := []string{a.FunctionVersion}
	if a.RoutingConfig != nil {
		for version, weight := range a.RoutingConfig.AdditionalVersionWeights {
			if weight < 0 || weight > 1 {
				return invalid(invalidParameter, "Invalid weight %v: want 0.0 to 1.0", weight)
			}
			used = append(used, version)
		}
	}
	for _, version := range used {
		if _, ok := fn.versions[version]; !ok {
			return &fault{http.StatusNotFound, "ResourceNotFoundException", "Function not found: version " + version}
		}
	}
	switch {
	case len(used) == 1:
	case len(used) > 2:
		return invalid(invalidParameter, "The number of items in AdditionalVersionWeights cannot be greater than 1")
	case used[0] == used[1]:
		return invalid(invalidParameter, "Version %s is both the primary and an additional version", used[0])
	case slices.Contains(used, latest):
		return invalid(invalidParameter, "%s is not supported for an alias pointing to more than 1 version", latest)
	case fn.versions[used[0]] != fn.versions[used[1]]:
		return invalid(invalidParameter, "Versions %s and %s must have the same execution role and dead-letter queue configuration", used[0], used[1])
	}
	return nil
}

func refuseJSON(f fault) reply {
	body, err := json.Marshal(map[string]string{"Type": "User", "Message": f.message, "message": f.message})
	if err != nil {
		body = []byte("{}")
	}
	return reply{status: f.status, kind: "application/json", fault: f.code, body: string(body)}
}
