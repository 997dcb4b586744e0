package assembly

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Environment is where the stacks are taken to be deployed. The zero value is a laptop: us-east-1,
// account 000000000000, partition aws. A stack that was synthesized for a concrete account or
// region keeps those: templates rule.
type Environment struct {
	// Region is what AWS::Region and Fn::GetAZs tell; default us-east-1.
	Region string
	// AccountID is what AWS::AccountId tells; default 000000000000.
	AccountID string
	// Partition is what AWS::Partition tells; default aws.
	Partition string
	// URLSuffix is what AWS::URLSuffix tells; default amazonaws.com.
	URLSuffix string
	// Parameters are values of template parameters by <stack id>:<parameter>, as
	// `cdk deploy --parameters` takes them. Default: what the template says.
	Parameters map[string]string
	// SystemParameters are values of Systems Manager parameters by name. Two kinds need none: the
	// version of the bootstrap stack is the one that the assembly requires, and a parameter that
	// AWS publishes (/aws/service/...) is taken as "checked:" and its name.
	SystemParameters map[string]string
}

const (
	defaultRegion    = "us-east-1"
	defaultAccountID = "000000000000"
	defaultPartition = "aws"
	defaultURLSuffix = "amazonaws.com"
)

// of fills in the defaults, and what the stack was synthesized for.
func (e Environment) of(stack *Stack) Environment {
	account, region, _ := strings.Cut(strings.TrimPrefix(stack.environment, "aws://"), "/")
	if account != "" && account != "unknown-account" {
		e.AccountID = account
	}
	if region != "" && region != "unknown-region" {
		e.Region = region
	}
	defaults := map[*string]string{
		&e.Region: defaultRegion, &e.AccountID: defaultAccountID, &e.Partition: defaultPartition,
		&e.URLSuffix: defaultURLSuffix,
	}
	for field, value := range defaults {
		if *field == "" {
			*field = value
		}
	}
	return e
}

// expand replaces the pseudo parameters in an asset's destination.
func (e Environment) expand(text string) string {
	return strings.NewReplacer(
		"${AWS::Region}", e.Region, "${AWS::AccountId}", e.AccountID, "${AWS::Partition}", e.Partition,
	).Replace(text)
}

// zones are the Availability Zones that Fn::GetAZs tells of a region: its first three letters,
// since which zones an account really sees only AWS knows.
func zones(region string) []any { return []any{region + "a", region + "b", region + "c"} }

// stackID has the form of CloudFormation's, with a UUID that is the same every time.
func stackID(stack *Stack, environment Environment) string {
	name := "arn:" + environment.Partition + ":cloudformation:" + environment.Region + ":" + environment.AccountID +
		":stack/" + stack.Name
	return name + "/" + uuid.NewSHA1(uuid.NameSpaceURL, []byte(name)).String()
}

// pseudo is the value of a pseudo parameter.
func pseudo(name string, stack *Stack, environment Environment) (any, bool) {
	switch name {
	case "AWS::AccountId":
		return environment.AccountID, true
	case "AWS::NoValue":
		return noValue{}, true
	case "AWS::NotificationARNs":
		return []any{}, true
	case "AWS::Partition":
		return environment.Partition, true
	case "AWS::Region":
		return environment.Region, true
	case "AWS::StackId":
		return stackID(stack, environment), true
	case "AWS::StackName":
		return stack.Name, true
	case "AWS::URLSuffix":
		return environment.URLSuffix, true
	}
	return nil, false
}

var (
	listParameter   = regexp.MustCompile(`^(CommaDelimitedList|List<.+>)$`)
	plainParameter  = regexp.MustCompile(`^(String|Number|AWS::SSM::Parameter::Name|AWS::[A-Za-z0-9]+::[A-Za-z0-9]+::[A-Za-z0-9]+)$`)
	systemParameter = regexp.MustCompile(`^AWS::SSM::Parameter::Value<(.+)>$`)
)

// parameter evaluates a template parameter: its given value or its default, held to what the
// template allows. A problem is told without the value where the parameter is NoEcho.
func (e Environment) parameter(stack *Stack, name string, declaration any,
	fail func(at *path, format string, arguments ...any) any) any {
	here := at("Parameters").field(name)
	declared, ok := declaration.(map[string]any)
	if !ok {
		return fail(here, "got %s, want an object", shown(declaration))
	}
	kind, _ := declared["Type"].(string)
	value, given := e.Parameters[stack.ID+":"+name]
	if !given {
		if value, given = scalar(declared["Default"]); !given {
			return fail(here, "has no default: give its value as %s:%s", stack.ID, name)
		}
	}
	if wrapped := systemParameter.FindStringSubmatch(kind); wrapped != nil {
		looked, known := e.lookUp(stack, value)
		if !known {
			return fail(here, "reads the Systems Manager parameter %q, whose value is not given", value)
		}
		kind, value = wrapped[1], looked
	}
	if broken := restriction(declared, kind, value); broken != "" {
		told := shown(value)
		if hidden, _ := scalar(declared["NoEcho"]); hidden == "true" {
			told = "a hidden value"
		}
		return fail(here, "got %s, want %s", told, broken)
	}
	switch {
	case listParameter.MatchString(kind):
		elements := []any{}
		for element := range strings.SplitSeq(value, ",") {
			elements = append(elements, strings.TrimSpace(element))
		}
		return elements
	case plainParameter.MatchString(kind):
		return value
	}
	return fail(here.field("Type"), "unknown parameter type %s", shown(declared["Type"]))
}

// lookUp is the value of a Systems Manager parameter.
func (e Environment) lookUp(stack *Stack, name string) (string, bool) {
	if value, ok := e.SystemParameters[name]; ok {
		return value, true
	}
	if name == stack.bootstrap.parameter && name != "" {
		return strconv.Itoa(stack.bootstrap.version), true
	}
	if strings.HasPrefix(name, "/aws/service/") {
		return standInPrefix + name, true
	}
	return "", false
}

// restriction is what a parameter's declaration asks for and the value is not; empty where it
// holds.
func restriction(declared map[string]any, kind, value string) string {
	if kind == "Number" {
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return "a number"
		}
		if least, ok := limit(declared["MinValue"]); ok && number < least {
			return "at least " + strconv.FormatFloat(least, 'g', -1, 64)
		}
		if most, ok := limit(declared["MaxValue"]); ok && number > most {
			return "at most " + strconv.FormatFloat(most, 'g', -1, 64)
		}
	} else {
		length := float64(utf8.RuneCountInString(value))
		if least, ok := limit(declared["MinLength"]); ok && length < least {
			return "at least " + strconv.FormatFloat(least, 'g', -1, 64) + " characters"
		}
		if most, ok := limit(declared["MaxLength"]); ok && length > most {
			return "at most " + strconv.FormatFloat(most, 'g', -1, 64) + " characters"
		}
	}
	if pattern, ok := declared["AllowedPattern"].(string); ok {
		// CloudFormation's patterns are Java's; what Go cannot read cannot be held to.
		expression, err := regexp.Compile(`^(?:` + pattern + `)$`)
		if err != nil || !expression.MatchString(value) {
			return "a value that matches " + pattern
		}
	}
	if allowed, ok := declared["AllowedValues"].([]any); ok {
		texts := make([]string, 0, len(allowed))
		for _, candidate := range allowed {
			text, _ := scalar(candidate)
			if text == value {
				return ""
			}
			texts = append(texts, text)
		}
		return "one of " + strings.Join(texts, ", ")
	}
	return ""
}

func limit(value any) (float64, bool) {
	text, ok := scalar(value)
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseFloat(text, 64)
	return number, err == nil
}

// scalar is a value as CloudFormation writes it into a string; lists, objects and null have no such
// form.
func scalar(value any) (string, bool) {
	switch value := value.(type) {
	case string:
		return value, true
	case json.Number:
		return value.String(), true
	case bool:
		return strconv.FormatBool(value), true
	}
	return "", false
}
