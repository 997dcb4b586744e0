package rollout

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/semver"

	"diecast/internal/surroundings"
)

// Knowledge is what is known of resource types.
type Knowledge struct {
	// CreateOnly are the properties of each type whose change replaces the resource,
	// as paths: KinesisStreamSourceConfiguration/RoleARN.
	CreateOnly map[string][]string
	// Conditional are those whose change replaces it in some cases. They are taken
	// to replace it, but for InPlace.
	Conditional map[string][]string
	// asked are the types that cfn-lint was asked for.
	asked map[string]bool
}

//go:embed createonly.py
var createOnly []byte

// ReadKnowledge asks cfn-lint, in the Python environment of the interpreter, for
// the types that platforms use. Types that cfn-lint does not know are left out:
// Deploy says so where it meets one.
func ReadKnowledge(python string, platforms ...Platform) (Knowledge, error) {
	asked := types(platforms)
	command := exec.Command(python, append([]string{"-"}, asked...)...)
	command.Stdin, command.Env = bytes.NewReader(createOnly), surroundings.List(surroundings.Bare(os.TempDir()))
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		return Knowledge{}, fmt.Errorf("rollout: asking cfn-lint what replaces a resource: %w: %s", err,
			complaint.String())
	}
	var read map[string]struct{ CreateOnly, Conditional []string }
	if err := json.Unmarshal(output, &read); err != nil {
		return Knowledge{}, fmt.Errorf("rollout: cfn-lint's answer: %w", err)
	}
	known := Knowledge{
		CreateOnly: map[string][]string{}, Conditional: map[string][]string{}, asked: map[string]bool{},
	}
	for _, kind := range asked {
		known.asked[kind] = true
	}
	for kind, one := range read {
		known.CreateOnly[kind], known.Conditional[kind] = one.CreateOnly, one.Conditional
	}
	return known, nil
}

// Covers says whether cfn-lint was asked for every type of the platforms.
func (k Knowledge) Covers(platforms ...Platform) bool {
	for _, kind := range types(platforms) {
		if !k.asked[kind] {
			return false
		}
	}
	return true
}

func types(platforms []Platform) []string {
	all := map[string]bool{}
	for _, platform := range platforms {
		for _, template := range platform.Templates {
			for _, one := range section(template, "Resources") {
				resource, _ := one.(map[string]any)
				all[typeOf(resource)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// inPlace are conditional properties that our uses change in place, with the
// reason.
var inPlace = map[string]map[string]string{
	"AWS::AutoScaling::AutoScalingGroup": {
		"LaunchTemplate":       refreshed,
		"MixedInstancesPolicy": refreshed,
	},
	"AWS::RDS::DBInstance": {
		"AutoMinorVersionUpgrade": "applied to the instance as it stands, and at once (RDS API reference, " +
			"ModifyDBInstance)",
		"BackupRetentionPeriod": "changed on the instance as it stands, but for a read replica, which " +
			"has no backups of its own (RDS user guide, Settings for DB instances)",
		"MultiAZ": "a standby is added or removed beside the instance (RDS user guide, Settings for DB instances); " +
			"only an AvailabilityZone that is named, too, conflicts",
	},
}

// refreshed is why a group of instances stays.
const refreshed = "the group is replaced only where an AutoScalingReplacingUpdate of its update policy asks for " +
	"it; ours refreshes the instances (CloudFormation template reference, UpdatePolicy attribute)"

// custom tells custom resources: all that they are made of is changed by their
// function, but for the function.
func custom(kind string) bool {
	return strings.HasPrefix(kind, "Custom::") || kind == "AWS::CloudFormation::CustomResource"
}

func (k Knowledge) knows(kind string) bool {
	_, known := k.CreateOnly[kind]
	return known || custom(kind)
}

func (k Knowledge) replacing(kind string) []string {
	if custom(kind) {
		return []string{"ServiceToken"}
	}
	replacing := slices.Clone(k.CreateOnly[kind])
	for _, path := range k.Conditional[kind] {
		if _, reviewed := inPlace[kind][path]; !reviewed {
			replacing = append(replacing, path)
		}
	}
	return replacing
}

// replacedIn finds the resources that an update replaces: by a property of their
// own, and all whose replacing properties are made of one that is replaced.
func (k Knowledge) replacedIn(was, is map[string]any) map[string]bool {
	replaced := map[string]bool{}
	for {
		before := len(replaced)
		for id := range is {
			old, _ := was[id].(map[string]any)
			new, _ := is[id].(map[string]any)
			if old == nil || new == nil || replaced[id] {
				continue
			}
			for _, path := range k.replacing(typeOf(new)) {
				from, to := at(section(old, "Properties"), path), at(section(new, "Properties"), path)
				moved := slices.ContainsFunc(references(to), func(other string) bool { return replaced[other] })
				if moved || !reflect.DeepEqual(from, to) {
					replaced[id] = true
				}
			}
		}
		if len(replaced) == before {
			return replaced
		}
	}
}

// at is the value at a path; an asterisk stands for every element of a list.
func at(value any, path string) any {
	first, rest, more := strings.Cut(path, "/")
	var inner any
	switch container := value.(type) {
	case map[string]any:
		inner = container[first]
	case []any:
		if first == "*" && more {
			var all []any
			for _, element := range container {
				all = append(all, at(element, rest))
			}
			return all
		}
		return container
	}
	if !more || inner == nil {
		return inner
	}
	return at(inner, rest)
}

// NewOnDemandShards is what a new on-demand stream holds (Kinesis developer guide,
// "Choose the right mode"); how many an older one has, only AWS knows.
const NewOnDemandShards = 4

// limitOf is the obstacle where a service refuses to change a resource in place as
// the properties say; without a rule where it does not.
func limitOf(kind string, was, is map[string]any) Obstacle {
	switch kind {
	case "AWS::Kinesis::Stream":
		from, to := shards(was), quantity(is["ShardCount"])
		if to > 2*from || 2*to < from {
			return Obstacle{Kind: InSteps, Rule: ScaleShards, Detail: fmt.Sprintf("from %g to %g", from, to)}
		}
	case "AWS::RDS::DBInstance":
		if from, to := quantity(was["AllocatedStorage"]), quantity(is["AllocatedStorage"]); to < from {
			return Obstacle{Kind: Refused, Rule: KeepDisk, Detail: fmt.Sprintf("from %g to %g GiB", from, to)}
		}
		if from, to := fmt.Sprint(was["EngineVersion"]), fmt.Sprint(is["EngineVersion"]); older(to, from) {
			return Obstacle{Kind: Refused, Rule: KeepVersion, Detail: fmt.Sprintf("from %s to %s", from, to)}
		}
	}
	return Obstacle{}
}

// older compares the versions of an engine, numbers with dots between.
func older(one, other string) bool { return semver.Compare("v"+one, "v"+other) < 0 }

// interrupts says whether a change of a resource in place cuts off what uses it for a while.
func interrupts(kind string, was, is map[string]any) bool {
	changed := func(property string) bool { return !reflect.DeepEqual(was[property], is[property]) }
	switch kind {
	case "AWS::RDS::DBInstance":
		// RDS user guide, "Settings for DB instances": the instance restarts, or fails over to its
		// standby. A standby itself comes and goes without an interruption, and so do disk, backups
		// that stay on, and protection.
		toOrFromNone := (quantity(was["BackupRetentionPeriod"]) == 0) != (quantity(is["BackupRetentionPeriod"]) == 0)
		return changed("DBInstanceClass") || changed("EngineVersion") || toOrFromNone
	case "AWS::EC2::Route":
		// Connections that are open go by the old way out, which knows their other end.
		return changed("NatGatewayId") || changed("InstanceId")
	}
	return false
}

// Rules of services.
const (
	// ScaleShards is from the Kinesis API reference, UpdateShardCount.
	ScaleShards = "Kinesis at most doubles and at most halves a stream's shards at a time; " +
		"a new on-demand stream has 4"
	// KeepVersion is from the RDS user guide, "Upgrading a DB instance engine version".
	KeepVersion = "RDS does not take an engine back to an older version"
	// KeepDisk is from the RDS user guide, "Working with storage".
	KeepDisk = "RDS does not shrink a disk"
)

// shards is how many a stream has.
func shards(stream map[string]any) float64 {
	if mode := at(stream, "StreamModeDetails/StreamMode"); mode == "ON_DEMAND" {
		return NewOnDemandShards
	}
	return quantity(stream["ShardCount"])
}

// quantity is a number that a template may write as text; NaN, which compares to
// nothing, where there is none.
func quantity(value any) float64 {
	switch value := value.(type) {
	case float64:
		return value
	case string:
		if number, err := strconv.ParseFloat(value, 64); err == nil {
			return number
		}
	}
	return math.NaN()
}
