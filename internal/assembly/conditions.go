package assembly

import (
	"maps"
	"slices"
	"strings"
)

// verdict is what a condition comes to.
type verdict int

const (
	// undecided: the condition could not be evaluated, and a problem says why.
	undecided verdict = iota
	yes
	no
)

func verdictOf(holds bool) verdict {
	if holds {
		return yes
	}
	return no
}

// conditionFunctions may stand in Conditions, Fn::Contains in Rules only.
var conditionFunctions = map[string]bool{"Fn::And": true, "Fn::Contains": true, "Fn::Equals": true, "Fn::Not": true,
	"Fn::Or": true}

// And and Or take two to ten conditions.
const leastOperands, mostOperands = 2, 10

// condition is the verdict on a condition of the template, by name.
func (e *evaluator) condition(name string, at *path) verdict {
	decided, ok := e.plan.conditions[e.stack][name]
	if !ok {
		e.fail(at, "the template has no condition called %s", name)
	}
	return decided
}

// decideConditions evaluates every condition of a stack.
func (p *Plan) decideConditions(stack *Stack, problems *Problems) {
	declared := stack.section("Conditions")
	p.conditions[stack] = map[string]verdict{}
	for name := range declared {
		p.conditions[stack][name] = undecided
	}
	order := sorted(slices.Sorted(maps.Keys(declared)), func(name string) []string {
		return slices.DeleteFunc(namedConditions(declared[name]), func(named string) bool {
			_,
				ok := declared[named]
			return !ok
		})
	}, func(cycle []string) {
		p.evaluator(stack, problems).fail(at("Conditions"), "conditions lead in a circle: %s",
			strings.Join(cycle, " -> "))
	})
	for _, name := range order {
		e := p.evaluator(stack, problems)
		e.early = "conditions are decided before anything is created"
		p.conditions[stack][name] = e.decide(declared[name], at("Conditions").field(name), false)
	}
}

// namedConditions are the conditions that an expression names.
func namedConditions(value any) (names []string) {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			names = append(names, namedConditions(element)...)
		}
	case map[string]any:
		if name, ok := value["Condition"].(string); ok && len(value) == 1 {
			return []string{name}
		}
		for _, key := range slices.Sorted(maps.Keys(value)) {
			names = append(names, namedConditions(value[key])...)
		}
	}
	return names
}

// decide evaluates a condition's expression.
func (e *evaluator) decide(value any, at *path, rule bool) verdict {
	expression, ok := value.(map[string]any)
	if !ok || len(expression) != 1 {
		e.fail(at, "got %s, want one condition function", shown(value))
		return undecided
	}
	for name, argument := range expression {
		here := at.field(name)
		switch {
		case name == "Condition":
			named, ok := argument.(string)
			if !ok {
				e.fail(here, "got %s, want the name of a condition", shown(argument))
				return undecided
			}
			return e.condition(named, here)
		case name == "Fn::Not":
			list, ok := e.arguments(argument, 1, 1, "[condition]", here)
			if !ok {
				return undecided
			}
			switch e.decide(list[0], here.index(0), rule) {
			case yes:
				return no
			case no:
				return yes
			}
			return undecided
		case name == "Fn::And":
			return e.combine(argument, no, yes, rule, here)
		case name == "Fn::Or":
			return e.combine(argument, yes, no, rule, here)
		case name == "Fn::Equals":
			return e.equals(argument, here)
		case name == "Fn::Contains" && rule:
			return e.contains(argument, here)
		}
		e.fail(here, "unknown condition function %s; known are Condition, Fn::And, Fn::Equals, Fn::Not and Fn::Or",
			name)
	}
	return undecided
}

// combine is the verdict that any operand brings about, else the other.
func (e *evaluator) combine(argument any, decisive, otherwise verdict, rule bool, at *path) verdict {
	list, ok := e.arguments(argument, leastOperands, mostOperands, "two to ten conditions", at)
	if !ok {
		return undecided
	}
	result := otherwise
	for i, operand := range list {
		switch decided := e.decide(operand, at.index(i), rule); {
		case decided == undecided:
			return undecided
		case decided == decisive:
			result = decisive
		}
	}
	return result
}

func (e *evaluator) equals(argument any, at *path) verdict {
	list, ok := e.arguments(argument, 2, 2, "two values", at)
	if !ok {
		return undecided
	}
	first, ok := e.text(list[0], at.index(0))
	second, alsoOK := e.text(list[1], at.index(1))
	if !ok || !alsoOK {
		return undecided
	}
	return verdictOf(first == second)
}

func (e *evaluator) contains(argument any, at *path) verdict {
	list, ok := e.arguments(argument, 2, 2, "[list, value]", at)
	if !ok {
		return undecided
	}
	elements, ok := e.list(list[0], at.index(0))
	if !ok {
		return undecided
	}
	wanted, ok := e.text(list[1], at.index(1))
	if !ok {
		return undecided
	}
	return verdictOf(slices.ContainsFunc(elements, func(element any) bool {
		text, ok := scalar(element)
		return ok && text == wanted
	}))
}

// checkRules holds a stack's parameters to the template's rules. A rule that reads no parameter
// asks where the stack is deployed, which is nowhere: on a laptop it is not held to it.
func (p *Plan) checkRules(stack *Stack, problems *Problems) {
	rules := stack.section("Rules")
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		here := at("Rules").field(name)
		e := p.evaluator(stack, problems)
		e.early = "rules are checked before anything is created"
		rule, _ := rules[name].(map[string]any)
		assertions, ok := rule["Assertions"].([]any)
		if !ok {
			e.fail(here, "a rule needs a list of Assertions")
			continue
		}
		if !reads(rule, stack.section("Parameters")) {
			continue
		}
		if condition, given := rule["RuleCondition"]; given && e.decide(condition, here.field("RuleCondition"),
			true) != yes {
			continue
		}
		for i, element := range assertions {
			place := here.field("Assertions").index(i)
			assertion, _ := element.(map[string]any)
			if e.decide(assertion["Assert"], place.field("Assert"), true) == no {
				description, _ := assertion["AssertDescription"].(string)
				e.fail(place, "the rule does not hold: %s", description)
			}
		}
	}
}

// reads says whether a value refers to one of the parameters.
func reads(value any, parameters map[string]any) bool {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			if text, ok := inner.(string); ok && parameters[text] != nil &&
				slices.Contains([]string{"Ref", "Fn::RefAll"}, name) {
				return true
			}
			if reads(inner, parameters) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(inner any) bool { return reads(inner, parameters) })
	}
	return false
}
