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
	for _, name := range slices.Sorted(maps.Keys(context)) {
		if !foreign(name) && !known(name) {
			problems.unknown(name, context[name])
		}
	}

	// After a bad profile the other keys are still worth checking.
	profile := Lean
	if name, ok := context["profile"].(string); ok && slices.Contains(profiles, strings.TrimSpace(name)) {
		profile = strings.TrimSpace(name)
	}
	var c Config
	bad := map[string]bool{}
	for _, k := range keys {
		value := k.Default(profile)
		if given, ok := context[k.Name]; ok {
			text, err := asText(given)
			_, isList := given.([]any)
			if err != nil || isList && k.Type != listOfCIDRs {
				bad[k.Name] = true
				problems.add(k.Name, fmt.Sprint(given), "must be "+k.Allowed)
				continue
			}
			value = text
		}
		if err := k.parse(&c, value); err != nil {
			bad[k.Name] = true
			problems.refused(k, value, err)
		}
	}
	for _, between := range rules {
		// It means something only between values that are right by themselves, over the profile
		// that was meant.
		if !bad["profile"] && !slices.ContainsFunc(between.keys, func(name string) bool { return bad[name] }) {
			problems.List = append(problems.List, between.check(c)...)
		}
	}
	if len(problems.List) > 0 {
		slices.SortStableFunc(problems.List, func(a, b Problem) int { return strings.Compare(a.Key, b.Key) })
		return Config{}, problems
	}
	return c, nil
}

// foreignPrefixes begin the keys that CDK's library and CLI read or write themselves.
var foreignPrefixes = []string{
	"aws:",      // how the CLI hands its options to the app: aws:cdk:enable-path-metadata
	"aws-cdk:",  // the CLI's older switches: aws-cdk:enableDiffNoFail
	"@aws-cdk/", // the library's feature flags
	"@aws-cdk-", // those of its sister packages: @aws-cdk-containers/...
	"cdk-",      // marks that commands leave: cdk-migrate
	"cli:",      // the CLI's own settings

	// Cached look-ups, <provider>:account=...:region=..., of the cloud assembly schema's
	// context providers.
	"ami:", "availability-zones:", "cc-api-provider:", "endpoint-service-availability-zones:", "hosted-zone:",
	"key-provider:", "load-balancer:", "load-balancer-listener:", "plugin:", "security-group:", "ssm:", "vpc-provider:",
}

// foreignKeys are whole keys that the CLI keeps in the context.
var foreignKeys = []string{
	"acknowledged-issue-numbers", // cdk acknowledge: notices not to show again
	"cli-telemetry",              // cdk cli-telemetry --disable
}

// foreign tells keys that belong to CDK.
func foreign(name string) bool {
	return slices.Contains(foreignKeys, name) ||
		slices.ContainsFunc(foreignPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
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
