package rollout

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// exports are a template's exported values by name.
func exports(template map[string]any) map[string]any {
	found := map[string]any{}
	for id, one := range section(template, "Outputs") {
		output, _ := one.(map[string]any)
		export, ok := output["Export"].(map[string]any)
		if !ok {
			continue
		}
		name, ok := export["Name"].(string)
		if !ok {
			// A name that is reckoned at deployment cannot be followed here.
			panic(fmt.Sprintf("rollout: output %s exports as %v; only a literal name can be followed", id,
				export["Name"]))
		}
		found[name] = output["Value"]
	}
	return found
}

// imports are the names that a template imports, sorted.
func imports(template map[string]any) []string {
	found := map[string]bool{}
	walk(template, func(function string, argument any) {
		if function != "Fn::ImportValue" {
			return
		}
		name, ok := argument.(string)
		if !ok {
			panic(fmt.Sprintf("rollout: imports %v; only a literal name can be followed", argument))
		}
		found[name] = true
	})
	return slices.Sorted(maps.Keys(found))
}

// weak is a reference to another stack's output that locks nothing.
type weak struct{ stack, output string }

func weakReferences(template map[string]any) []weak {
	var found []weak
	walk(template, func(function string, argument any) {
		reference, ok := argument.(map[string]any)
		if function != "Fn::GetStackOutput" || !ok {
			return
		}
		stack, _ := reference["StackName"].(string)
		output, _ := reference["OutputName"].(string)
		if one := (weak{stack, output}); !slices.Contains(found, one) {
			found = append(found, one)
		}
	})
	return found
}

var placeholder = regexp.MustCompile(`\$\{([A-Za-z0-9]+)(\.[A-Za-z0-9.]+)?\}`)

// references are the logical ids that a value is made of, as they come.
func references(value any) []string {
	var ids []string
	walk(value, func(function string, argument any) {
		switch argument := argument.(type) {
		case string:
			switch function {
			case "Ref":
				ids = append(ids, argument)
			case "Fn::Sub":
				ids = append(ids, placeholders(argument)...)
			}
		case []any:
			if len(argument) == 0 {
				return
			}
			text, _ := argument[0].(string)
			switch function {
			case "Fn::GetAtt":
				ids = append(ids, text)
			case "Fn::Sub":
				ids = append(ids, placeholders(text)...)
			}
		}
	})
	return ids
}

func placeholders(text string) []string {
	var ids []string
	for _, match := range placeholder.FindAllStringSubmatch(text, -1) {
		ids = append(ids, match[1])
	}
	return ids
}

// walk calls visit for every member of every object of a value: intrinsic
// functions are objects with one member.
func walk(value any, visit func(name string, inner any)) {
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			visit(name, value[name])
			walk(value[name], visit)
		}
	case []any:
		for _, element := range value {
			walk(element, visit)
		}
	}
}
