package assembly

import (
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// unknown stands for a value that is not known before something has been created, or that could not
// be evaluated: what is made of it is unknown too.
type unknown struct{}

// noValue is what Ref AWS::NoValue yields: the property or element that it stands for is left out.
type noValue struct{}

// intrinsics are the functions that may stand in properties and outputs. Those of conditions are in
// conditions.go. Their rules are in the intrinsic function reference of CloudFormation's template
// reference guide.
var intrinsics = map[string]bool{
	"Fn::Base64": true, "Fn::FindInMap": true, "Fn::GetAtt": true, "Fn::GetAZs": true, "Fn::GetStackOutput": true,
	"Fn::If":          true,
	"Fn::ImportValue": true, "Fn::Join": true, "Fn::Select": true, "Fn::Split": true, "Fn::Sub": true, "Ref": true,
}

// references collects what an expression refers to.
type references struct {
	resources map[*Resource]bool
	stacks    map[*Stack]bool
}

func newReferences() *references {
	return &references{resources: map[*Resource]bool{}, stacks: map[*Stack]bool{}}
}

// evaluator evaluates the values of one resource, output or condition.
type evaluator struct {
	plan  *Plan
	stack *Stack
	// logicalID is the resource that problems name; empty for other parts of the template.
	logicalID string
	// early says why nothing may depend on a resource here; empty where it may.
	early string
	// dry evaluates before anything is created: what only a created resource knows is unknown.
	dry bool
	// static refuses dynamic references, which only CloudFormation resolves.
	static   bool
	found    *references
	problems *Problems
}

func (e *evaluator) fail(at *path, format string, arguments ...any) any {
	*e.problems = append(*e.problems, Problem{
		Stack: e.stack.ID, LogicalID: e.logicalID, Path: at.String(), Message: fmt.Sprintf(format, arguments...),
	})
	return unknown{}
}

// evaluate replaces every intrinsic in the value by what it yields.
func (e *evaluator) evaluate(value any, at *path) any {
	switch value := value.(type) {
	case string:
		if e.static && strings.Contains(value, "{{resolve:") {
			return e.fail(at, "dynamic references are resolved in AWS only: refer to the secret's or the "+
				"parameter's resource instead")
		}
		return value
	case nil:
		return e.fail(at, "null is no value in a template: leave the member out, or use AWS::NoValue")
	case []any:
		result := make([]any, 0, len(value))
		for i, element := range value {
			if evaluated := e.evaluate(element, at.index(i)); evaluated != (noValue{}) {
				result = append(result, evaluated)
			}
		}
		return result
	case map[string]any:
		if name, argument, ok := intrinsic(value); ok {
			return e.call(name, argument, at.field(name))
		}
		result := make(map[string]any, len(value))
		for _, name := range slices.Sorted(maps.Keys(value)) {
			if strings.HasPrefix(name, "Fn::") {
				e.fail(at, "%s stands beside other members: an intrinsic must be the only one", name)
				continue
			}
			if evaluated := e.evaluate(value[name], at.field(name)); evaluated != (noValue{}) {
				result[name] = evaluated
			}
		}
		return result
	}
	return value
}

// intrinsic says whether an object is a call of a function.
func intrinsic(value map[string]any) (name string, argument any, ok bool) {
	if len(value) != 1 {
		return "", nil, false
	}
	for name, argument = range value {
		ok = name == "Ref" || strings.HasPrefix(name, "Fn::")
	}
	return name, argument, ok
}

func (e *evaluator) call(name string, argument any, at *path) any {
	switch name {
	case "Ref":
		target, ok := argument.(string)
		if !ok {
			return e.fail(at, "got %s, want a name", shown(argument))
		}
		return e.ref(target, at)
	case "Fn::Base64":
		return e.base64(argument, at)
	case "Fn::FindInMap":
		return e.findInMap(argument, at)
	case "Fn::GetAtt":
		return e.getAtt(argument, at)
	case "Fn::GetAZs":
		return e.getAZs(argument, at)
	case "Fn::GetStackOutput":
		return e.getStackOutput(argument, at)
	case "Fn::If":
		return e.choose(argument, at)
	case "Fn::ImportValue":
		return e.importValue(argument, at)
	case "Fn::Join":
		return e.join(argument, at)
	case "Fn::Select":
		return e.pick(argument, at)
	case "Fn::Split":
		return e.split(argument, at)
	case "Fn::Sub":
		return e.sub(argument, at)
	}
	return e.misplaced(name, at)
}

// misplaced tells of an intrinsic that may not stand where it does.
func (e *evaluator) misplaced(name string, at *path) any {
	switch {
	case name == "Fn::Transform":
		return e.fail(at, "macros and transforms run in AWS only: write the template out")
	case conditionFunctions[name]:
		return e.fail(at, "%s decides conditions: it may stand in Conditions and Rules only", name)
	}
	known := slices.Sorted(maps.Keys(intrinsics))
	return e.fail(at, "unknown intrinsic %s; known are %s", name, strings.Join(known, ", "))
}

// arguments requires a list of this many arguments.
func (e *evaluator) arguments(argument any, least, most int, form string, at *path) ([]any, bool) {
	list, ok := argument.([]any)
	if !ok || len(list) < least || len(list) > most {
		e.fail(at, "got %s, want %s", shown(argument), form)
		return nil, false
	}
	return list, true
}

// text evaluates to a string. It is not ok where the value is unknown or was refused.
func (e *evaluator) text(value any, at *path) (string, bool) {
	evaluated := e.evaluate(value, at)
	if evaluated == (any)(unknown{}) {
		return "", false
	}
	text, ok := scalar(evaluated)
	if !ok {
		e.fail(at, "got %s, want a string", shown(evaluated))
	}
	return text, ok
}

// name evaluates to a string that must be known before anything is created.
func (e *evaluator) name(value any, at *path) (string, bool) {
	early := *e
	early.early = "this name must be known before anything is created"
	return early.text(value, at)
}

// list evaluates to a list. It is not ok where the value is unknown or was refused.
func (e *evaluator) list(value any, at *path) ([]any, bool) {
	switch evaluated := e.evaluate(value, at).(type) {
	case []any:
		return evaluated, true
	case unknown:
	default:
		e.fail(at, "got %s, want a list", shown(evaluated))
	}
	return nil, false
}

func (e *evaluator) ref(name string, at *path) any {
	if value, ok := pseudo(name, e.stack, e.plan.environments[e.stack]); ok {
		return value
	}
	if strings.HasPrefix(name, "AWS::") {
		return e.fail(at, "unknown pseudo parameter %s", name)
	}
	if value, ok := e.plan.parameters[e.stack][name]; ok {
		return value
	}
	return e.resource(name, "", at)
}

func (e *evaluator) getAtt(argument any, at *path) any {
	const form = `[logical id, attribute] or "logical id.attribute"`
	if text, ok := argument.(string); ok {
		id, attribute, found := strings.Cut(text, ".")
		if !found || attribute == "" {
			return e.fail(at, "got %s, want %s", shown(argument), form)
		}
		return e.resource(id, attribute, at)
	}
	list, ok := e.arguments(argument, 2, 2, form, at)
	if !ok {
		return unknown{}
	}
	id, ok := list[0].(string)
	if !ok {
		return e.fail(at.index(0), "got %s, want a logical id", shown(list[0]))
	}
	attribute, ok := e.name(list[1], at.index(1))
	if !ok {
		return unknown{}
	}
	if attribute == "" {
		return e.fail(at, "got %s, want %s", shown(argument), form)
	}
	return e.resource(id, attribute, at)
}

// resource resolves a reference to a resource of the same stack: to its Ref where attribute is
// empty.
func (e *evaluator) resource(id, attribute string, at *path) any {
	target, ok := e.stack.resources[id]
	switch {
	case !ok:
		return e.fail(at, "no resource or parameter of stack %s is called %s", e.stack.ID, id)
	case e.early != "":
		return e.fail(at, "refers to the resource %s: %s", id, e.early)
	case !e.plan.included(target):
		return e.fail(at, "refers to %s, which is left out because its condition %s is false", id, target.condition)
	}
	e.found.resources[target] = true
	switch target.Fate {
	case Checked:
		return standIn(target, attribute, e.plan.environments[target.Stack])
	case Run:
		if attribute != "" && !target.kind.hasAttribute(attribute) {
			return e.fail(at, "%s (%s) has no attribute %s here; known are %s", id, target.Type, attribute,
				strings.Join(target.kind.attributes, ", "))
		}
	}
	if e.dry && attribute != "" && target.Fate == Run {
		e.plan.referred[target] = append(e.plan.referred[target], attribute)
	}
	created, ok := e.plan.created[target]
	switch {
	case e.dry || target.Fate == "":
		return unknown{}
	case !ok:
		return e.fail(at, "refers to %s (%s), which has not been created", id, target.Type)
	case attribute == "":
		return created.Ref
	}
	value, ok := created.Attributes[attribute]
	if !ok {
		return e.fail(at, "attribute %s of %s (%s) was not reported when it was created", attribute, id, target.Type)
	}
	return value
}

func (e *evaluator) join(argument any, at *path) any {
	list, ok := e.arguments(argument, 2, 2, "[delimiter, list]", at)
	if !ok {
		return unknown{}
	}
	delimiter, ok := list[0].(string)
	if !ok {
		return e.fail(at.index(0), "got %s, want a delimiter", shown(list[0]))
	}
	elements, ok := e.list(list[1], at.index(1))
	if !ok {
		return unknown{}
	}
	texts := make([]string, len(elements))
	for i, element := range elements {
		if element == (unknown{}) {
			return unknown{}
		}
		if texts[i], ok = scalar(element); !ok {
			return e.fail(at.index(1), "element %d is %s, want a string", i, shown(element))
		}
	}
	return strings.Join(texts, delimiter)
}

var (
	substitution = regexp.MustCompile(`\$\{([^}]*)\}?`)
	variableName = regexp.MustCompile(`^[A-Za-z0-9_.:]+$`)
)

func (e *evaluator) sub(argument any, at *path) any {
	text, ok := argument.(string)
	variables := map[string]any{}
	if !ok {
		list, ok := e.arguments(argument, 2, 2, "a string, or [string, variables]", at)
		if !ok {
			return unknown{}
		}
		if text, ok = list[0].(string); !ok {
			return e.fail(at.index(0), "got %s, want a string", shown(list[0]))
		}
		if variables, ok = list[1].(map[string]any); !ok {
			return e.fail(at.index(1), "got %s, want an object of variables", shown(list[1]))
		}
	}
	e.evaluate(text, at) // a dynamic reference may stand in it
	complete := true
	result := substitution.ReplaceAllStringFunc(text, func(match string) string {
		name, closed := strings.CutSuffix(strings.TrimPrefix(match, "${"), "}")
		literal, isLiteral := strings.CutPrefix(name, "!")
		var (
			value string
			ok    bool
		)
		switch {
		case !closed:
			e.fail(at, "%s is not closed", shown(match))
		case isLiteral:
			value, ok = "${"+literal+"}", true
		case !variableName.MatchString(name):
			e.fail(at, "%s: names hold letters, digits, underscores, periods and colons only", match)
		default:
			value, ok = e.variable(name, variables, at)
		}
		complete = complete && ok
		return value
	})
	if !complete {
		return unknown{}
	}
	return result
}

// variable is what a ${name} in Fn::Sub stands for: one of its own variables, else a Ref or, with a
// period, a Fn::GetAtt.
func (e *evaluator) variable(name string, variables map[string]any, at *path) (string, bool) {
	if value, ok := variables[name]; ok {
		return e.text(value, at.index(1).field(name))
	}
	var value any
	if id, attribute, ok := strings.Cut(name, "."); ok {
		value = e.resource(id, attribute, at)
	} else {
		value = e.ref(name, at)
	}
	if value == (any)(unknown{}) {
		return "", false
	}
	text, ok := scalar(value)
	if !ok {
		e.fail(at, "${%s} is %s, want a string", name, shown(value))
	}
	return text, ok
}

func (e *evaluator) pick(argument any, at *path) any {
	list, ok := e.arguments(argument, 2, 2, "[index, list]", at)
	if !ok {
		return unknown{}
	}
	text, known := e.name(list[0], at.index(0))
	elements, ok := e.list(list[1], at.index(1))
	if !ok || !known {
		return unknown{}
	}
	index, err := strconv.Atoi(text)
	if err != nil || index < 0 || index >= len(elements) {
		return e.fail(at.index(0), "got index %s, want one from 0 to %d: the list has %d elements", shown(text),
			len(elements)-1, len(elements))
	}
	return elements[index]
}

func (e *evaluator) split(argument any, at *path) any {
	list, ok := e.arguments(argument, 2, 2, "[delimiter, string]", at)
	if !ok {
		return unknown{}
	}
	delimiter, ok := list[0].(string)
	if !ok || delimiter == "" {
		return e.fail(at.index(0), "got %s, want a delimiter", shown(list[0]))
	}
	text, ok := e.text(list[1], at.index(1))
	if !ok {
		return unknown{}
	}
	parts := []any{}
	for part := range strings.SplitSeq(text, delimiter) {
		parts = append(parts, part)
	}
	return parts
}

func (e *evaluator) findInMap(argument any, at *path) any {
	list, ok := e.arguments(argument, 3, 3, "[mapping, first key, second key]", at)
	if !ok {
		return unknown{}
	}
	var names [3]string
	for i, element := range list {
		if names[i], ok = e.name(element, at.index(i)); !ok {
			return unknown{}
		}
	}
	value := any(e.stack.section("Mappings"))
	for i, what := range []string{"mapping", "first key", "second key"} {
		level, _ := value.(map[string]any)
		if value, ok = level[names[i]]; !ok {
			return e.fail(at.index(i), "Mappings have no %s %q on the way %s", what, names[i],
				strings.Join(names[:], ", "))
		}
	}
	switch value := value.(type) {
	case map[string]any, nil:
		return e.fail(at, "Mappings hold %s here, want a string or a list", shown(value))
	}
	return value
}

func (e *evaluator) getAZs(argument any, at *path) any {
	region, ok := e.name(argument, at)
	if !ok {
		return unknown{}
	}
	if region == "" {
		region = e.plan.environments[e.stack].Region
	}
	return zones(region)
}

func (e *evaluator) base64(argument any, at *path) any {
	text, ok := e.text(argument, at)
	if !ok {
		return unknown{}
	}
	return base64.StdEncoding.EncodeToString([]byte(text))
}

// choose is Fn::If.
func (e *evaluator) choose(argument any, at *path) any {
	list, ok := e.arguments(argument, 3, 3, "[condition, value if true, value if false]", at)
	if !ok {
		return unknown{}
	}
	name, ok := list[0].(string)
	if !ok {
		return e.fail(at.index(0), "got %s, want the name of a condition", shown(list[0]))
	}
	taken, left := 1, 2
	switch e.condition(name, at.index(0)) {
	case no:
		taken, left = 2, 1
	case undecided:
		return unknown{}
	}
	e.scan(list[left], at.index(left))
	return e.evaluate(list[taken], at.index(taken))
}

// scan refuses unknown intrinsics in a value that is not evaluated: CloudFormation refuses them
// wherever they stand.
func (e *evaluator) scan(value any, at *path) {
	switch value := value.(type) {
	case []any:
		for i, element := range value {
			e.scan(element, at.index(i))
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			if strings.HasPrefix(name, "Fn::") && !intrinsics[name] {
				e.misplaced(name, at.field(name))
			}
			e.scan(value[name], at.field(name))
		}
	}
}

func (e *evaluator) importValue(argument any, at *path) any {
	name, ok := e.name(argument, at)
	if !ok {
		return unknown{}
	}
	if e.early != "" {
		return e.fail(at, "refers to another stack: %s", e.early)
	}
	exported, ok := e.plan.exports[name]
	switch {
	case !ok:
		return e.fail(at, "no stack of the assembly exports %q", name)
	case exported.stack == e.stack:
		return e.fail(at, "the stack imports its own export %q", name)
	}
	return e.output(exported, at)
}

// getStackOutput reads another stack's output by name: what CDK writes for a weak reference between
// stacks.
func (e *evaluator) getStackOutput(argument any, at *path) any {
	members, ok := argument.(map[string]any)
	if !ok {
		return e.fail(at, "got %s, want an object with StackName and OutputName", shown(argument))
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains([]string{"OutputName", "Region", "StackName"}, name) {
			e.fail(at.field(name), "unknown member; known are OutputName, Region and StackName")
		}
	}
	if e.early != "" {
		return e.fail(at, "refers to another stack: %s", e.early)
	}
	for _, name := range []string{"StackName", "OutputName"} {
		if _, ok := members[name]; !ok {
			return e.fail(at, "it has no %s", name)
		}
	}
	stackName, ok := e.name(members["StackName"], at.field("StackName"))
	if !ok {
		return unknown{}
	}
	outputName, ok := e.name(members["OutputName"], at.field("OutputName"))
	if !ok {
		return unknown{}
	}
	target := e.plan.stackNamed(stackName)
	if target == nil {
		return e.fail(at, "the assembly has no stack named %q", stackName)
	}
	if target == e.stack {
		return e.fail(at, "the stack reads its own output %q", outputName)
	}
	region := e.plan.environments[e.stack].Region
	if value, given := members["Region"]; given {
		if region, ok = e.name(value, at.field("Region")); !ok {
			return unknown{}
		}
	}
	if actual := e.plan.environments[target].Region; region != actual {
		return e.fail(at.field("Region"), "got %q, but stack %s lies in %s", region, stackName, actual)
	}
	if _, ok := target.section("Outputs")[outputName]; !ok {
		return e.fail(at, "stack %s has no output %q", stackName, outputName)
	}
	return e.output(output{target, outputName}, at)
}

// output is one output of a stack.
type output struct {
	stack *Stack
	name  string
}

// output evaluates another stack's output.
func (e *evaluator) output(target output, at *path) any {
	e.found.stacks[target.stack] = true
	if e.plan.evaluating[target] {
		return e.fail(at, "the output %s of stack %s leads back to itself", target.name, target.stack.ID)
	}
	e.plan.evaluating[target] = true
	defer delete(e.plan.evaluating, target)
	var problems Problems
	other := &evaluator{plan: e.plan, stack: target.stack, dry: e.dry, found: e.found, problems: &problems}
	value, included := other.outputValue(target.name)
	if !included {
		return e.fail(at, "the output %s of stack %s is left out because its condition is false", target.name,
			target.stack.ID)
	}
	// In a dry run each output is evaluated, and its problems told, on its own.
	if !e.dry {
		*e.problems = append(*e.problems, problems...)
	}
	return value
}

// outputValue evaluates an output of the evaluator's own stack; it is not included where its
// condition is false.
func (e *evaluator) outputValue(name string) (value any, included bool) {
	here := at("Outputs").field(name)
	declared, ok := e.stack.section("Outputs")[name].(map[string]any)
	if !ok {
		return e.fail(here, "got %s, want an object", shown(e.stack.section("Outputs")[name])), true
	}
	if condition, given := declared["Condition"]; given {
		conditionName, ok := condition.(string)
		if !ok {
			return e.fail(here.field("Condition"), "got %s, want the name of a condition", shown(condition)), true
		}
		if e.condition(conditionName, here.field("Condition")) == no {
			return nil, false
		}
	}
	value, ok = declared["Value"]
	if !ok {
		return e.fail(here, "it has no Value"), true
	}
	text, ok := e.text(value, here.field("Value"))
	if !ok {
		return unknown{}, true
	}
	return text, true
}
