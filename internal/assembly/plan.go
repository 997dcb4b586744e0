package assembly

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Plan is one deployment of an assembly on a laptop: the order of its resources, and what is known
// of those that were created. It is not safe for concurrent use.
type Plan struct {
	assembly     *Assembly
	environments map[*Stack]Environment
	parameters   map[*Stack]map[string]any
	conditions   map[*Stack]map[string]verdict
	exports      map[string]output
	evaluating   map[output]bool
	order        []*Resource
	created      map[*Resource]Creation
	rehearsed    map[*Resource]any
	ignored      map[*Resource][]Ignored
	referred     map[*Resource][]string
}

// Creation is what became of a resource that runs.
type Creation struct {
	// Ref is the value of its Ref: the physical id.
	Ref string
	// Attributes are those that Fn::GetAtt names (Arn, Endpoint.Address, ...); of a custom resource
	// the Data of its answer.
	Attributes map[string]any
}

// Check finds what only the side that runs a plan's resources can refuse. It sees every resource
// that is not left out by a condition, with what Rehearsed tells of it, also where the assembly
// itself has problems. It creates nothing.
type Check func(*Plan) Problems

// Ignored is a property that a laptop knowingly does not honour.
type Ignored struct {
	// Property is the path within the resource's properties.
	Property, Reason string
}

// Plan checks the whole assembly, and puts its resources into an order in which they can be
// created: stacks behind those that they depend on or read outputs of, within a stack resources
// behind those that they refer to or name in DependsOn.
//
// The error holds every problem as Problems: resource types without a fate, properties that are
// neither honoured nor knowingly ignored, unknown intrinsics, references to what is not there or is
// left out by a condition, circles; and what the checks find beside.
func (a *Assembly) Plan(environment Environment, checks ...Check) (*Plan, error) {
	plan := &Plan{
		assembly: a, environments: map[*Stack]Environment{}, parameters: map[*Stack]map[string]any{},
		conditions: map[*Stack]map[string]verdict{}, exports: map[string]output{}, evaluating: map[output]bool{},
		created: map[*Resource]Creation{}, rehearsed: map[*Resource]any{}, ignored: map[*Resource][]Ignored{},
		referred: map[*Resource][]string{},
	}
	problems := slices.Clone(a.faulted)
	plan.readParameters(environment, &problems)
	for _, stack := range a.stacks {
		plan.decideConditions(stack, &problems)
		plan.checkRules(stack, &problems)
	}
	for _, stack := range a.stacks {
		plan.readExports(stack, &problems)
	}
	needs := map[*Resource][]*Resource{}
	stackNeeds := map[*Stack][]*Stack{}
	for _, stack := range a.stacks {
		plan.rehearse(stack, needs, stackNeeds, &problems)
	}
	plan.arrange(needs, stackNeeds, &problems)
	for _, check := range checks {
		problems = append(problems, check(plan)...)
	}
	if err := problems.err(); err != nil {
		return nil, err
	}
	return plan, nil
}

func (p *Plan) evaluator(stack *Stack, problems *Problems) *evaluator {
	return &evaluator{plan: p, stack: stack, dry: true, found: newReferences(), problems: problems}
}

func (p *Plan) readParameters(environment Environment, problems *Problems) {
	taken := map[string]bool{}
	for _, stack := range p.assembly.stacks {
		p.environments[stack] = environment.of(stack)
		p.parameters[stack] = map[string]any{}
		declared := stack.section("Parameters")
		for _, name := range slices.Sorted(maps.Keys(declared)) {
			taken[stack.ID+":"+name] = true
			p.parameters[stack][name] = p.environments[stack].parameter(stack, name, declared[name],
				p.evaluator(stack, problems).fail)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(environment.Parameters)) {
		if !taken[name] {
			stack, parameter, _ := strings.Cut(name, ":")
			*problems = append(*problems,
				Problem{Stack: stack,
					Message: fmt.Sprintf("a value is given for the parameter %q, which no template declares",
						parameter)})
		}
	}
}

// readExports finds where each exported name comes from.
func (p *Plan) readExports(stack *Stack, problems *Problems) {
	outputs := stack.section("Outputs")
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		declared, _ := outputs[name].(map[string]any)
		export, given := declared["Export"]
		if !given {
			continue
		}
		here := at("Outputs").field(name).field("Export")
		e := p.evaluator(stack, problems)
		described, _ := export.(map[string]any)
		exported, ok := e.name(described["Name"], here.field("Name"))
		if !ok {
			continue
		}
		if other, taken := p.exports[exported]; taken {
			e.fail(here, "stack %s exports the name %q, too", other.stack.ID, exported)
			continue
		}
		p.exports[exported] = output{stack, name}
	}
}

// rehearse evaluates all of a stack with what is known before anything is created, and keeps what
// refers to what.
func (p *Plan) rehearse(stack *Stack, needs map[*Resource][]*Resource, stackNeeds map[*Stack][]*Stack,
	problems *Problems) {
	refer := func(from *Resource, found *references) {
		for target := range found.resources {
			if target.Stack == stack && from != nil {
				needs[from] = append(needs[from], target)
			}
		}
		for target := range found.stacks {
			stackNeeds[stack] = append(stackNeeds[stack], target)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(stack.resources)) {
		resource := stack.resources[id]
		e := p.evaluator(stack, problems)
		e.logicalID = id
		if resource.condition != "" {
			e.condition(resource.condition, at("Condition"))
		}
		if !p.included(resource) {
			continue
		}
		if resource.Fate == "" && resource.Type != "" {
			e.fail(at("Type"), "%s", resource.Reason)
		}
		for i, name := range resource.dependsOn {
			// CloudFormation leaves out a dependency on what a condition leaves out.
			if target, ok := stack.resources[name]; !ok {
				e.fail(at("DependsOn").index(i), "no resource of stack %s is called %s", stack.ID, name)
			} else if p.included(target) {
				e.found.resources[target] = true
			}
		}
		p.rehearsed[resource] = p.read(e, resource)
		refer(resource, e.found)
	}
	for _, name := range slices.Sorted(maps.Keys(stack.section("Outputs"))) {
		e := p.evaluator(stack, problems)
		e.outputValue(name)
		refer(nil, e.found)
	}
}

// arrange orders the stacks, and the resources within them.
func (p *Plan) arrange(needs map[*Resource][]*Resource, stackNeeds map[*Stack][]*Stack, problems *Problems) {
	for _, stack := range p.assembly.stacks {
		for _, id := range stack.dependencies {
			if i := slices.IndexFunc(p.assembly.stacks, func(other *Stack) bool { return other.ID == id }); i >= 0 {
				stackNeeds[stack] = append(stackNeeds[stack], p.assembly.stacks[i])
			}
		}
	}
	stacks := sorted(p.assembly.stacks, func(stack *Stack) []*Stack {
		return slices.SortedFunc(slices.Values(stackNeeds[stack]),
			func(a, b *Stack) int { return cmp.Compare(a.ID, b.ID) })
	}, func(circle []*Stack) {
		names := make([]string, len(circle))
		for i, stack := range circle {
			names[i] = stack.ID
		}
		*problems = append(*problems, Problem{Stack: circle[0].ID,
			Message: "stacks depend on each other in a circle: " + strings.Join(names, " -> ")})
	})
	for _, stack := range stacks {
		var resources []*Resource
		for _, id := range slices.Sorted(maps.Keys(stack.resources)) {
			if p.included(stack.resources[id]) {
				resources = append(resources, stack.resources[id])
			}
		}
		p.order = append(p.order, sorted(resources, func(resource *Resource) []*Resource {
			return slices.SortedFunc(slices.Values(needs[resource]),
				func(a, b *Resource) int { return cmp.Compare(a.LogicalID, b.LogicalID) })
		}, func(circle []*Resource) {
			names := make([]string, len(circle))
			for i, resource := range circle {
				names[i] = resource.LogicalID
			}
			*problems = append(*problems, Problem{Stack: stack.ID, LogicalID: circle[0].LogicalID,
				Message: "resources depend on each other in a circle: " + strings.Join(names, " -> ")})
		})...)
	}
}

// included says whether a resource's condition lets it be created.
func (p *Plan) included(resource *Resource) bool {
	return resource.condition == "" || p.conditions[resource.Stack][resource.condition] != no
}

func (p *Plan) stackNamed(name string) *Stack {
	for _, stack := range p.assembly.stacks {
		if stack.Name == name {
			return stack
		}
	}
	return nil
}

// Resources are the resources of all stacks in the order of their creation, without those whose
// condition is false. The ones whose fate is Checked are among them; nothing is to be created for
// these.
func (p *Plan) Resources() []*Resource { return slices.Clone(p.order) }

// Ignored are the properties of a resource that runs which a laptop knowingly does not honour, with
// the reasons.
func (p *Plan) Ignored(resource *Resource) []Ignored { return slices.Clone(p.ignored[resource]) }

// Referred are the attributes of a resource that runs which something in the assembly refers to:
// what Created has to tell.
func (p *Plan) Referred(resource *Resource) []string {
	return slices.Compact(slices.Sorted(slices.Values(p.referred[resource])))
}

// Environment is where a stack is taken to be deployed, with its account, region, partition and URL
// suffix.
func (p *Plan) Environment(stack *Stack) Environment { return p.environments[stack] }

// Evaluate yields a resource's properties without intrinsics. Strings, booleans, lists and objects
// are Go's, numbers are json.Number as they were spelled. It fails where they refer to what has not
// been created.
func (p *Plan) Evaluate(resource *Resource) (map[string]any, error) {
	var problems Problems
	properties := p.live(resource, &problems).properties(resource)
	if err := problems.err(); err != nil {
		return nil, err
	}
	return properties, nil
}

// Rehearsed is the typed form of a resource that runs, as far as it is known before anything is
// created: what refers to another resource that runs is as if it were absent. It is nil for a
// resource that is only checked.
func (p *Plan) Rehearsed(resource *Resource) any { return p.rehearsed[resource] }

// Decode yields the typed form of a resource that runs, a pointer to the struct that TypesThatRun
// names, such as a *Stream; nil for one that is only checked.
func (p *Plan) Decode(resource *Resource) (any, error) {
	var problems Problems
	typed := p.read(p.live(resource, &problems), resource)
	if err := problems.err(); err != nil {
		return nil, err
	}
	return typed, nil
}

func (p *Plan) live(resource *Resource, problems *Problems) *evaluator {
	e := p.evaluator(resource.Stack, problems)
	e.logicalID, e.dry = resource.LogicalID, false
	return e
}

// properties evaluates a resource's properties.
func (e *evaluator) properties(resource *Resource) map[string]any {
	e.static = resource.Fate == Run
	result := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(resource.properties)) {
		if value := e.evaluate(resource.properties[name], at("Properties").field(name)); value != (any)(noValue{}) {
			result[name] = value
		}
	}
	return result
}

// server evaluates the metadata of what a server runs.
func (e *evaluator) server(resource *Resource) map[string]any {
	described, ok := resource.metadata[ServerMetadata]
	if !ok {
		return nil
	}
	server, _ := e.evaluate(described, at("Metadata").field(ServerMetadata)).(map[string]any)
	return server
}

// read evaluates a resource's properties and, where it runs, decodes them.
func (p *Plan) read(e *evaluator, resource *Resource) any {
	fields := e.properties(resource)
	if resource.Fate != Run {
		return nil
	}
	var ignored []Ignored
	properties := &object{
		fields: fields, at: at("Properties"), resource: resource, environment: p.environments[resource.Stack],
		server: e.server(resource), assembly: p.assembly,
		fail: e.fail, ignored: &ignored, seen: map[string]bool{},
	}
	typed := resource.kind.decode(properties)
	properties.close(strings.TrimPrefix(resource.Type, "AWS::"))
	if custom, ok := typed.(*CustomResource); ok {
		custom.Handler = p.handler(e, resource)
	}
	p.ignored[resource] = ignored
	return typed
}

// Created tells the plan what became of a resource that runs: what later Ref and Fn::GetAtt of it
// resolve to.
func (p *Plan) Created(resource *Resource, creation Creation) error {
	var problems []error
	switch {
	case resource.Fate != Run:
		problems = append(problems, errors.New("it is only checked, never created"))
	case !slices.Contains(p.order, resource):
		problems = append(problems, errors.New("it is not a part of this plan"))
	case creation.Ref == "":
		problems = append(problems, errors.New("its Ref is empty"))
	}
	for _, name := range slices.Sorted(maps.Keys(creation.Attributes)) {
		if !resource.kind.hasAttribute(name) {
			problems = append(problems, fmt.Errorf("unknown attribute %s; known are %s", name,
				strings.Join(resource.kind.attributes, ", ")))
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("report %s (%s) as created: %w", resource, resource.Type, errors.Join(problems...))
	}
	p.created[resource] = Creation{Ref: creation.Ref, Attributes: maps.Clone(creation.Attributes)}
	return nil
}

// handler follows a custom resource's ServiceToken to the provider framework, and its environment
// to the function: the one that the framework would call.
func (p *Plan) handler(e *evaluator, resource *Resource) *Resource {
	here := at("Properties").field("ServiceToken")
	framework := p.functionOf(resource, resource.properties["ServiceToken"])
	if framework == nil || !isProviderFramework(framework) {
		e.fail(here, "leads to no function of CDK's provider framework: answer custom resources through "+
			"customresources.Provider, without isComplete")
		return nil
	}
	handler := p.functionOf(framework, environmentVariable(framework, onEventVariable))
	if handler == nil || handler.Fate != Run {
		e.fail(here, "leads to the provider framework %s, whose %s leads to no function of the assembly", framework,
			onEventVariable)
		return nil
	}
	return handler
}

// functionOf is the one function that an expression in this resource refers to.
func (p *Plan) functionOf(resource *Resource, expression any) *Resource {
	var problems Problems
	e := p.evaluator(resource.Stack, &problems)
	e.evaluate(expression, at("Properties"))
	for target := range e.found.resources {
		if target.Type == functionType && len(e.found.resources) == 1 {
			return target
		}
	}
	return nil
}

// Outputs are the outputs of all stacks by stack name and output, as `cdk deploy --outputs-file`
// writes them; those whose condition is false are left out.
func (p *Plan) Outputs() (map[string]map[string]string, error) {
	result := map[string]map[string]string{}
	var problems Problems
	for _, stack := range p.assembly.stacks {
		for _, name := range slices.Sorted(maps.Keys(stack.section("Outputs"))) {
			e := p.evaluator(stack, &problems)
			e.dry = false
			value, included := e.outputValue(name)
			text, known := value.(string)
			if !included || !known {
				continue
			}
			if result[stack.Name] == nil {
				result[stack.Name] = map[string]string{}
			}
			result[stack.Name][name] = text
		}
	}
	if err := problems.err(); err != nil {
		return nil, err
	}
	return result, nil
}
