// Package rollout says what CloudFormation would do to a deployed platform that
// gets other templates, stack after stack as `cdk deploy --all` goes: which
// resources change in place, which are replaced, and what it would refuse. It
// reads templates as plain JSON; it must not know CDK, nor this platform's stacks.
package rollout

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Platform is every stack of one synthesis.
type Platform struct {
	// Order is the stacks in the order of their deployment.
	Order []string
	// Templates are the stacks' templates, as encoding/json decodes them.
	Templates map[string]map[string]any
}

// Kind is what happens to a resource, or how a step of the rollout ends.
type Kind string

const (
	// Added, Removed, Updated and Replaced are what CloudFormation does to a resource.
	Added    Kind = "added"
	Removed  Kind = "removed"
	Updated  Kind = "updated"
	Replaced Kind = "replaced"
	// Interrupted is updated in place, while what uses the resource is cut off for a while.
	Interrupted Kind = "interrupted"
	// Refused is what cannot be done to the platform as it stands.
	Refused Kind = "refused"
	// InSteps is what can be done in several deployments, not in one.
	InSteps Kind = "in steps"
)

// Effect is what happens to one resource.
type Effect struct {
	Kind     Kind
	Stack    string
	Resource string
	Type     string
	// Properties are those that differ, by their first name, sorted.
	Properties []string
}

// Obstacle is why a stack's update would fail.
type Obstacle struct {
	// Kind is Refused or InSteps.
	Kind  Kind
	Stack string
	// Rule is the rule that it breaks, without names.
	Rule string
	// Detail names what breaks it.
	Detail string
}

func (o Obstacle) String() string {
	return fmt.Sprintf("%s %s, %s: %s", o.Stack, o.Kind, o.Rule, o.Detail)
}

// Rules of CloudFormation; those of services stand in limit.
const (
	// KeepExports is from the CloudFormation user guide, "Get exported outputs from
	// a deployed stack".
	KeepExports = "an export that a deployed stack imports neither goes nor changes"
	// ExportFirst is from there, too.
	ExportFirst = "what a stack refers to must stand before it"
	// KeepType is that an id's type stays.
	KeepType = "a resource keeps its type"
	// RemoveLast is that CloudFormation removes what a template has no more after it
	// made what is new.
	RemoveLast = "what there can be only one of is not made anew under another id"
	// DeployAgain is that the CDK skips a stack whose template is as it was.
	DeployAgain = "a stack that reads a replaced resource weakly must itself change"
	// KnowTypes is ours: an unknown type could be replaced unseen.
	KnowTypes = "every type is known"
)

// Result is a whole rollout.
type Result struct {
	Effects []Effect
	// Obstacles are all that stand in the way, as if each were overcome and the
	// rollout went on.
	Obstacles []Obstacle
}

// Deploy takes a platform from its deployed templates to others.
func Deploy(from, to Platform, known Knowledge) Result {
	r := &rollout{known: known, deployed: maps.Clone(from.Templates), imported: map[string][]string{},
		replaced: map[string]bool{}}
	for stack, template := range from.Templates {
		r.imported[stack] = imports(template)
	}
	for _, stack := range to.Order {
		before, after := r.deployed[stack], to.Templates[stack]
		r.update(stack, before, after)
		r.deployed[stack], r.imported[stack] = after, imports(after)
	}
	return r.Result
}

// rollout is one that is under way.
type rollout struct {
	Result
	known Knowledge
	// deployed are the templates as they stand before the next stack.
	deployed map[string]map[string]any
	// imported are the names that each of them imports: many exports are looked for in them.
	imported map[string][]string
	// replaced are the resources, stack/id, that the rollout has replaced.
	replaced map[string]bool
}

func (r *rollout) refuse(stack, rule, detail string, arguments ...any) {
	r.Obstacles = append(r.Obstacles,
		Obstacle{Kind: Refused, Stack: stack, Rule: rule, Detail: fmt.Sprintf(detail, arguments...)})
}

func (r *rollout) update(stack string, before, after map[string]any) {
	was, is := section(before, "Resources"), section(after, "Resources")
	replaced := r.known.replacedIn(was, is)
	for id := range replaced {
		r.replaced[stack+"/"+id] = true
	}
	r.effects(stack, was, is, replaced)
	r.keepExports(stack, before, after, replaced)
	r.findImports(stack, before, after)
	r.collisions(stack, was, is)
}

func (r *rollout) effects(stack string, was, is map[string]any, replaced map[string]bool) {
	for _, id := range names(was, is) {
		old, _ := was[id].(map[string]any)
		new, _ := is[id].(map[string]any)
		effect := Effect{Kind: Updated, Stack: stack, Resource: id, Type: typeOf(new)}
		switch {
		case old == nil:
			effect.Kind = Added
		case new == nil:
			effect.Kind, effect.Type = Removed, typeOf(old)
		case typeOf(old) != typeOf(new):
			r.refuse(stack, KeepType, "%s is a %s and cannot become a %s", id, typeOf(old), typeOf(new))
		case reflect.DeepEqual(old, new) && !replaced[id]:
			continue
		default:
			effect.Properties = differing(section(old, "Properties"), section(new, "Properties"))
			if limit := limitOf(typeOf(new), section(old, "Properties"), section(new, "Properties")); limit.Rule != "" {
				limit.Stack, limit.Detail = stack, id+" "+limit.Detail
				r.Obstacles = append(r.Obstacles, limit)
			}
			if interrupts(typeOf(new), section(old, "Properties"), section(new, "Properties")) {
				effect.Kind = Interrupted
			}
		}
		if replaced[id] {
			effect.Kind = Replaced
		}
		if new != nil && !r.known.knows(typeOf(new)) {
			r.refuse(stack, KnowTypes, "%s is a %s", id, typeOf(new))
		}
		r.Effects = append(r.Effects, effect)
	}
}

// keepExports refuses to remove or change an export that another deployed stack
// imports.
func (r *rollout) keepExports(stack string, before, after map[string]any, replaced map[string]bool) {
	now := exports(after)
	was := exports(before)
	for _, name := range slices.Sorted(maps.Keys(was)) {
		importers := strings.Join(r.importers(name), ", ")
		if importers == "" {
			continue
		}
		value, stands := now[name]
		switch {
		case !stands:
			r.refuse(stack, KeepExports, "%s would go, which %s imports", name, importers)
		case !reflect.DeepEqual(was[name], value):
			r.refuse(stack, KeepExports, "%s would change, which %s imports", name, importers)
		default:
			for _, id := range references(value) {
				if replaced[id] {
					r.refuse(stack, KeepExports, "%s would change, which %s imports: %s is replaced", name, importers,
						id)
				}
			}
		}
	}
}

// importers are the deployed stacks that import a name.
func (r *rollout) importers(name string) []string {
	var importers []string
	for _, stack := range slices.Sorted(maps.Keys(r.deployed)) {
		if slices.Contains(r.imported[stack], name) {
			importers = append(importers, stack)
		}
	}
	return importers
}

// findImports refuses what refers to an output of another stack that is not there
// yet, and a weak reference that nothing would resolve anew.
func (r *rollout) findImports(stack string, before, after map[string]any) {
	standing := map[string]bool{}
	for other, template := range r.deployed {
		if other != stack {
			for name := range exports(template) {
				standing[name] = true
			}
		}
	}
	for _, name := range imports(after) {
		if !standing[name] {
			r.refuse(stack, ExportFirst, "imports %s, which no deployed stack exports", name)
		}
	}
	for _, weak := range weakReferences(after) {
		other, template := r.stackNamed(weak.stack)
		output, found := section(template, "Outputs")[weak.output].(map[string]any)
		if !found {
			r.refuse(stack, ExportFirst, "reads output %s of %s, which is not there", weak.output, weak.stack)
			continue
		}
		for _, id := range references(output["Value"]) {
			if r.replaced[other+"/"+id] && reflect.DeepEqual(before, after) {
				r.refuse(stack, DeployAgain, "keeps the old value of %s of %s: %s is replaced", weak.output, weak.stack,
					id)
			}
		}
	}
}

// stackNamed finds the deployed stack of a physical name, <platform>-<stack>.
func (r *rollout) stackNamed(name string) (stack string, template map[string]any) {
	for stack, template := range r.deployed {
		if name == stack || strings.HasSuffix(name, "-"+stack) {
			return stack, template
		}
	}
	return "", nil
}

// collisions refuses a resource that is made anew under another id while the old
// one, which must be the only one of its kind, still stands: CloudFormation removes
// last.
func (r *rollout) collisions(stack string, was, is map[string]any) {
	for _, id := range slices.Sorted(maps.Keys(is)) {
		new, _ := is[id].(map[string]any)
		if _, stood := was[id]; stood || !slices.Contains(onlyOnce, typeOf(new)) {
			continue
		}
		for _, other := range slices.Sorted(maps.Keys(was)) {
			old, _ := was[other].(map[string]any)
			_, stands := is[other]
			if !stands && typeOf(old) == typeOf(new) && reflect.DeepEqual(identity(old), identity(new)) {
				r.refuse(stack, RemoveLast, "%s is %s under another id", id, other)
			}
		}
	}
}

// onlyOnce are types of which no two alike can stand at a time.
var onlyOnce = []string{
	"AWS::EC2::NetworkAclEntry", "AWS::EC2::Route", "AWS::EC2::SecurityGroupEgress", "AWS::EC2::SecurityGroupIngress",
	"AWS::EC2::SubnetNetworkAclAssociation", "AWS::EC2::SubnetRouteTableAssociation", "AWS::EC2::VPCEndpoint",
	"AWS::EC2::VPCGatewayAttachment", "AWS::Lambda::EventSourceMapping", "AWS::Lambda::Url", "AWS::S3::BucketPolicy",
}

// identity is a resource's properties without those that tell no two apart.
func identity(resource map[string]any) map[string]any {
	properties := maps.Clone(section(resource, "Properties"))
	delete(properties, "Tags")
	delete(properties, "Description")
	return properties
}

func section(template map[string]any, name string) map[string]any {
	inner, _ := template[name].(map[string]any)
	return inner
}

func typeOf(resource map[string]any) string {
	name, _ := resource["Type"].(string)
	return name
}

func differing(was, is map[string]any) []string {
	var all []string
	for _, name := range names(was, is) {
		if !reflect.DeepEqual(was[name], is[name]) {
			all = append(all, name)
		}
	}
	return all
}

func names(a, b map[string]any) []string {
	both := maps.Clone(a)
	if both == nil {
		both = map[string]any{}
	}
	maps.Copy(both, b)
	return slices.Sorted(maps.Keys(both))
}
