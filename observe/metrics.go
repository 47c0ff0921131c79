// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package observe

import "slices"

// MetricType says how a metric behaves.
type MetricType uint8

// The types. The zero MetricType is none of them.
const (
	_ MetricType = iota
	Counter
	Gauge
	Histogram
)

var metricTypeNames = []string{"untyped", "counter", "gauge", "histogram"}

// String is the name.
func (t MetricType) String() string { return name(metricTypeNames, t) }

// Metric describes one metric, whoever exposes it.
type Metric struct {
	Name   string
	Type   MetricType
	Help   string
	Labels []string
	// Buckets are a histogram's upper bounds, in the unit that its name ends in.
	Buckets []float64
}

// The names of the metrics. They are part of the API: alerts are built on them.
// The last four are those that deployment dashboards commonly use.
const (
	MetricRollouts        = "rheostat_rollouts_total"
	MetricRolloutDuration = "rheostat_rollout_duration_seconds"
	MetricRolloutActive   = "rheostat_rollout_active"
	MetricHeld            = "rheostat_rollout_held"
	MetricTrafficWeight   = "rheostat_traffic_weight_ratio"
	MetricRollbacks       = "rheostat_rollbacks_total"
	MetricRollback        = "rheostat_rollback_seconds"
	MetricVerdicts        = "rheostat_verdicts_total"
	MetricDrifts          = "rheostat_drifts_total"
	MetricPages           = "rheostat_pages_total"
	MetricOverflow        = "rheostat_label_overflow_total"

	MetricRequests        = "rheostat_requests_total"
	MetricRequestErrors   = "rheostat_request_errors_total"
	MetricRequestDuration = "rheostat_request_duration_seconds"

	MetricDeployments        = "deployments_total"
	MetricDeploymentDuration = "deployment_duration_seconds"
	MetricCanaryWeight       = "canary_traffic_weight"
	MetricDeploymentRollback = "deployments_rollback_total"
)

// The label names.
const (
	LabelService     = "service"
	LabelEnvironment = "environment"
	LabelOutcome     = "outcome"
	LabelTarget      = "target"
	LabelArm         = "arm"
	LabelCause       = "cause"
	LabelCheck       = "check"
	LabelVerdict     = "verdict"
	LabelVersion     = "version"
	LabelStatus      = "status"
	LabelLabel       = "label"
)

// The values of LabelArm.
const (
	ArmStable    = "stable"
	ArmCandidate = "candidate"
)

// The values of LabelStatus. A superseded rollout neither succeeded nor failed.
const (
	StatusSuccess    = "success"
	StatusFailure    = "failure"
	StatusSuperseded = "superseded"
)

// Verdicts lists the values of LabelVerdict.
func Verdicts() []string { return []string{"pending", "pass", "safe", "fail", "inconclusive"} }

var (
	// A rollout takes from seconds (a switch) to a day (rings with a long bake).
	rolloutBuckets = []float64{10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400}
	// A return takes from one write (well below a second) to the bound of a
	// gradual one.
	rollbackBuckets = []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900}
)

var metrics = []Metric{
	{
		Name: MetricRollouts, Type: Counter, Labels: []string{LabelService, LabelEnvironment, LabelOutcome},
		Help: "Rollouts that ended, by how they ended.",
	},
	{
		Name: MetricRolloutDuration, Type: Histogram, Labels: []string{LabelService, LabelEnvironment, LabelOutcome}, Buckets: rolloutBuckets,
		Help: "Time from the acceptance of a rollout to its end.",
	},
	{
		Name: MetricRolloutActive, Type: Gauge, Labels: []string{LabelService, LabelEnvironment},
		Help: "1 while a rollout of the service is under way, else 0.",
	},
	{
		Name: MetricHeld, Type: Gauge, Labels: []string{LabelService, LabelEnvironment},
		Help: "1 while a rollout of the service is held, else 0.",
	},
	{
		Name: MetricTrafficWeight, Type: Gauge, Labels: []string{LabelService, LabelTarget, LabelArm},
		Help: "Share of the target's traffic that the arm is given, from 0 to 1.",
	},
	{
		Name: MetricRollbacks, Type: Counter, Labels: []string{LabelService, LabelCause},
		Help: "Rollouts that began to go home, by cause.",
	},
	{
		Name: MetricRollback, Type: Histogram, Labels: []string{LabelService}, Buckets: rollbackBuckets,
		Help: "Time from the first failing verdict of a rollout to an observed candidate share of 0.",
	},
	{
		Name: MetricVerdicts, Type: Counter, Labels: []string{LabelService, LabelCheck, LabelVerdict},
		Help: "Verdicts that a rollout took note of.",
	},
	{
		Name: MetricDrifts, Type: Counter, Labels: []string{LabelService},
		Help: "Routes that were found changed by somebody else.",
	},
	{
		Name: MetricPages, Type: Counter, Labels: []string{LabelService},
		Help: "Events that called for a person.",
	},
	{
		Name: MetricOverflow, Type: Counter, Labels: []string{LabelLabel},
		Help: "Label values that were counted under another name because the label had reached its limit.",
	},
	{
		Name: MetricRequests, Type: Counter, Labels: []string{LabelService, LabelTarget, LabelArm},
		Help: "Requests that the arm answered.",
	},
	{
		Name: MetricRequestErrors, Type: Counter, Labels: []string{LabelService, LabelTarget, LabelArm},
		Help: "Requests that the arm answered with an error.",
	},
	{
		Name: MetricRequestDuration, Type: Histogram, Labels: []string{LabelService, LabelTarget, LabelArm},
		Help: "Time that the arm took to answer. The sum is not measured and is reported as NaN.",
	},
	{
		Name: MetricDeployments, Type: Counter, Labels: []string{LabelVersion, LabelEnvironment, LabelStatus},
		Help: "Deployments that ended, by version.",
	},
	{
		Name: MetricDeploymentDuration, Type: Histogram, Labels: []string{LabelVersion, LabelEnvironment}, Buckets: rolloutBuckets,
		Help: "Time from the acceptance of a deployment to its end.",
	},
	{
		Name: MetricCanaryWeight, Type: Gauge, Labels: []string{LabelService},
		Help: "Highest candidate share among the targets of the service, in percent.",
	},
	{
		Name: MetricDeploymentRollback, Type: Counter,
		Help: "Deployments that began to go home, superseded ones apart.",
	},
}

// Metrics is the table of every metric. The caller owns the copy.
func Metrics() []Metric {
	table := slices.Clone(metrics)
	for i := range table {
		table[i].Labels = slices.Clone(table[i].Labels)
		table[i].Buckets = slices.Clone(table[i].Buckets)
	}
	return table
}
