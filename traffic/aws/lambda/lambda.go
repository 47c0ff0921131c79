// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package lambda

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/aws/internal/note"
)

const (
	// granularity is a tenth of a per cent. Lambda takes any number from 0 to 1,
	// and promises nothing about the smallest that it tells from 0.
	granularity    = traffic.Full / 1000
	maxDescription = 256 // characters
	latest         = "$LATEST"
	tries          = 5
	opening        = "[rheostat "
	closing        = "]"
)

// API is the calls that a Router makes. *lambda.Client of the SDK has them.
type API interface {
	// GetAlias reads an alias and its revision.
	GetAlias(ctx context.Context, in *awslambda.GetAliasInput, o ...func(*awslambda.Options)) (*awslambda.GetAliasOutput, error)
	// UpdateAlias changes an alias if its revision is still the one that was read.
	UpdateAlias(ctx context.Context, in *awslambda.UpdateAliasInput, o ...func(*awslambda.Options)) (*awslambda.UpdateAliasOutput, error)
}

// Options say which alias is turned.
type Options struct {
	// Function is the function's name or ARN. Required.
	Function string
	// Alias is the name of the alias, which must exist. Required.
	Alias string
	// Lag is how long after the write the last invocation goes the new way. 0 is 10 seconds.
	Lag time.Duration
}

// Router turns one alias. It is safe for concurrent use.
type Router struct {
	api API
	o   Options
}

var _ traffic.Router = (*Router)(nil)

// New is the router of one alias. It asks AWS nothing.
func New(api API, o Options) (*Router, error) {
	switch {
	case api == nil:
		return nil, errors.New("lambda: api: give it a client of the SDK")
	case o.Function == "":
		return nil, errors.New("lambda: function: name the function")
	case o.Alias == "":
		return nil, errors.New("lambda: alias: name the alias")
	case o.Lag < 0:
		return nil, fmt.Errorf("lambda: lag: %v is below 0", o.Lag)
	}
	if o.Lag == 0 {
		o.Lag = 10 * time.Second
	}
	return &Router{api: api, o: o}, nil
}

// Caps says that steps of a tenth of a per cent can be had, and that the alias
// refuses stale writers.
func (r *Router) Caps() traffic.Caps {
	return traffic.Caps{Granularity: granularity, Fencing: true, Evidence: traffic.Written, Lag: r.o.Lag}
}

// Apply writes versions, weights and fence in one call, which Lambda refuses if
// anybody was faster.
func (r *Router) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("lambda: apply: %w", context.Cause(ctx))
	}
	route, err := r.Caps().NearestRoute(route)
	if err != nil {
		return fmt.Errorf("lambda: apply: %w", err)
	}
	if route.Arms.Stable == latest || route.Arms.Candidate == latest {
		return fmt.Errorf("lambda: apply: arms: %s cannot share an alias; publish a version", latest)
	}
	if err := r.write(ctx, note.Note{Fence: fence, Route: route}); err != nil {
		return fmt.Errorf("lambda: apply: %w", err)
	}
	return nil
}

// write reads, decides and writes, and begins again when others were faster.
func (r *Router) write(ctx context.Context, want note.Note) error {
	var faster error
	for range tries {
		now, err := r.read(ctx)
		if err != nil {
			return err
		}
		if err := now.note.Admit(want.Fence, want.Route); err != nil {
			return err
		}
		if now.note.Fence == want.Fence && now.note.Route.Equal(want.Route) && now.route.Equal(want.Route) {
			return nil
		}
		description := strings.TrimLeft(now.text+" "+opening+want.String()+closing, " ")
		if n := utf8.RuneCountInString(description); n > maxDescription {
			return fmt.Errorf("description: with the fence it has %d characters, and Lambda takes %d; shorten %q", n, maxDescription, now.text)
		}
		in := &awslambda.UpdateAliasInput{
			FunctionName: &r.o.Function, Name: &r.o.Alias, RevisionId: now.revision, Description: &description,
		}
		aim(in, want.Route)
		_, err = r.api.UpdateAlias(ctx, in)
		var precondition *types.PreconditionFailedException
		var busy *types.ResourceConflictException
		switch {
		case err == nil:
			return nil
		case errors.As(err, &busy):
			return fmt.Errorf("update alias: %w: %w", traffic.ErrConflict, err)
		case !errors.As(err, &precondition):
			return fmt.Errorf("update alias: %w", err)
		}
		faster = err
	}
	return fmt.Errorf("update alias: %w: %w", traffic.ErrConflict, faster)
}

// aim sets versions and weights. No additional version is a map without entries:
// without a map Lambda would leave the old ones.
func aim(in *awslambda.UpdateAliasInput, route traffic.Route) {
	in.FunctionVersion = aws.String(route.Arms.Stable)
	weights := map[string]float64{}
	switch route.Split.Candidate {
	case 0:
	case traffic.Full:
		in.FunctionVersion = aws.String(route.Arms.Candidate)
	default:
		weights[route.Arms.Candidate] = float64(route.Split.Candidate) / float64(traffic.Full)
	}
	in.RoutingConfig = &types.AliasRoutingConfiguration{AdditionalVersionWeights: weights}
}

// Observe reads versions and weights, whoever wrote them. Room is not known:
// Lambda scales by itself within its concurrency, so wrap the router with
// traffic.AssumeRoom, or with traffic.WithRoom and a look at that.
func (r *Router) Observe(ctx context.Context) (traffic.Seen, error) {
	now, err := r.read(ctx)
	if err != nil {
		return traffic.Seen{}, fmt.Errorf("lambda: observe: %w", err)
	}
	seen := traffic.Seen{Route: now.route, Evidence: traffic.Written}
	if now.route.Equal(now.note.Route) {
		seen.Fence = now.note.Fence
	}
	return seen, nil
}

// alias is what Lambda has of it.
type alias struct {
	route    traffic.Route
	note     note.Note
	text     string // the description without the note
	revision *string
}

func (r *Router) read(ctx context.Context) (*alias, error) {
	out, err := r.api.GetAlias(ctx, &awslambda.GetAliasInput{FunctionName: &r.o.Function, Name: &r.o.Alias})
	if err != nil {
		return nil, fmt.Errorf("get alias: %w", err)
	}
	if aws.ToString(out.FunctionVersion) == "" || aws.ToString(out.RevisionId) == "" {
		return nil, errors.New("get alias: the answer names no version or no revision")
	}
	now := &alias{revision: out.RevisionId}
	now.text, now.note = parse(aws.ToString(out.Description))
	rest := uint64(traffic.Full)
	var shares []note.Share
	if out.RoutingConfig != nil {
		for version, weight := range out.RoutingConfig.AdditionalVersionWeights {
			parts := uint64(math.Round(min(max(weight, 0), 1) * float64(traffic.Full)))
			parts = min(parts, rest)
			rest -= parts
			shares = append(shares, note.Share{Arm: version, Parts: parts})
		}
	}
	shares = append([]note.Share{{Arm: *out.FunctionVersion, Parts: rest}}, shares...)
	if now.route, err = note.Arrange(now.note.Route.Arms, shares); err != nil {
		return nil, fmt.Errorf("alias %s: %w", r.o.Alias, err)
	}
	return now, nil
}

// parse takes the note off a description.
func parse(description string) (text string, n note.Note) {
	at := strings.LastIndex(description, opening)
	if at < 0 || !strings.HasSuffix(description, closing) {
		return description, note.Note{}
	}
	n, ok := note.Parse(strings.TrimSuffix(description[at+len(opening):], closing))
	if !ok {
		return description, note.Note{}
	}
	return strings.TrimSuffix(description[:at], " "), n
}
