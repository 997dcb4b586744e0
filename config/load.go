package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Load reads the platform's keys out of a CDK context, over the profile that it
// names (default lean). Values are JSON values, as cdk.json has them, or text, as
// -c gives them. The error is a *Problems with everything that is wrong.
func Load(context map[string]any) (Config, error) {
	problems := &Problems{}
	profile := Lean
	if value, ok := context["profile"]; ok {
		profile = fmt.Sprint(value)
	}
	if !slices.Contains(profiles, profile) {
		problems.add("profile", profile, "one of "+strings.Join(profiles, ", "))
		// The other keys are still worth checking.
		profile = Lean
	}
	for _, name := range slices.Sorted(maps.Keys(context)) {
		if name != "profile" && !foreign(name) && !known(name) {
			problems.unknown(name, context[name])
		}
	}

	c := Config{Profile: profile}
	for _, k := range keys {
		value := k.Default(profile)
		if given, ok := context[k.Name]; ok {
			text, err := asText(given)
			if err != nil {
				problems.add(k.Name, fmt.Sprint(given), k.Allowed)
				continue
			}
			value = text
		}
		if err := k.parse(&c, value); err != nil {
			problems.refused(k, value, err)
		}
	}
	if len(problems.List) == 0 {
		// Combinations mean something only between values that are right by themselves.
		problems.List = append(problems.List, c.combinationProblems()...)
	}
	if len(problems.List) > 0 {
		slices.SortStableFunc(problems.List, func(a, b Problem) int { return strings.Compare(a.Key, b.Key) })
		return Config{}, problems
	}
	return c, nil
}

// foreign tells keys that belong to CDK: feature flags and look-ups, the CLI's
// own, and those that CDK libraries write into an app's context.
func foreign(name string) bool {
	for _, prefix := range []string{"aws:", "@aws-cdk/", "@aws-cdk-", "aws-cdk:", "cdk:", "cli:", "constructs:",
		// Cached look-ups of cdk.context.json.
		"availability-zones:", "vpc-provider:", "ssm:", "hosted-zone:", "ami:", "key-provider:", "load-balancer:",
		"load-balancer-listener:", "security-group:", "endpoint-service-availability-zones:", "plugin:", "acknowledged-issue-numbers"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func known(name string) bool {
	return slices.ContainsFunc(keys, func(k Key) bool { return k.Name == name })
}

// asText brings a JSON value into the form of the command line.
func asText(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case int:
		return strconv.Itoa(v), nil
	case json.Number:
		return v.String(), nil
	case []any:
		parts := make([]string, 0, len(v))
		for _, element := range v {
			text, ok := element.(string)
			if !ok {
				return "", errNotAllowed
			}
			parts = append(parts, text)
		}
		return strings.Join(parts, ","), nil
	}
	return "", errNotAllowed
}

func (c Config) combinationProblems() []Problem {
	problems := c.capacityProblems()
	for _, reserved := range c.Network.ReservedCIDRs {
		if reserved.Overlaps(c.Network.CIDR) {
			problems = append(problems, Problem{Key: "network.cidr", Value: c.Network.CIDR.String(),
				Allowed: fmt.Sprintf("a range that does not overlap %s of network.reservedCidrs", reserved)})
		}
	}
	if c.DestroysData() && c.Vectors.DeletionProtection {
		problems = append(problems, Problem{Key: "vectors.deletionProtection", Value: "true",
			Allowed: "false where data.removal=destroy and data.destroy=true; they contradict each other"})
	}
	if c.Data.Destroy && c.Data.Removal == RemovalRetain {
		problems = append(problems, Problem{Key: "data.destroy", Value: "true",
			Allowed: "false where data.removal=retain; set data.removal=destroy too if the data may go"})
	}
	return problems
}
