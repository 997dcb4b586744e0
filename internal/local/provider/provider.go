// Package provider makes the resources of a plan in the laptop's engines. Each kind of resource has
// a file of its own, which says what types it makes, which engines it needs, what it refuses before
// anything starts, and how it is made; the list below holds them all.
//
// A provider knows its typed resource and its engines. It knows neither what flows through what it
// makes nor the order in which resources are made, and it hears of other resources by the names and
// ARNs in its own properties, or by what their providers kept for others (Made).
package provider

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
)

// providers make every type of resource that runs.
var providers = []provider{
	bucket, customResource, database, deliveryStream, eventSourceMapping, function, functionURL, job, listener,
	loadBalancer, secret, serverGroup, stateMachine, stream, streamConsumer, table, targetGroup, topic,
}

// together are checks of what resources can only do wrong with each other.
var together = []assembly.Check{checkStreams, checkFunctions, checkFunctionURLs, checkStateMachines}

// provider is a kind of any resource.
type provider interface {
	made() []string
	needed() []engine.Engine
	refused(context.Context, Options, *assembly.Resource, any) assembly.Problems
	prepared(context.Context, *Run, *assembly.Resource, any) error
	created(context.Context, *Run, *assembly.Resource, any) (assembly.Creation, error)
}

// kind is how resources whose typed form is a T are made.
type kind[T any] struct {
	// types of CloudFormation that have this form; one that ends in :: stands for all that begin
	// so.
	types []string
	// needs are the engines that create uses.
	needs []engine.Engine
	// check refuses what the engines cannot do. It is asked twice: before anything starts, when
	// what refers to other resources is absent, and right before the resource is made. Default:
	// nothing is refused.
	check func(context.Context, Options, *assembly.Resource, *T) assembly.Problems
	// prepare does ahead what takes long and needs the engines only, side by side with other
	// resources' preparations. What refers to other resources is absent from the typed form.
	// Default: nothing.
	prepare func(context.Context, *Run, *assembly.Resource, *T) error
	// create makes the resource.
	create func(context.Context, *Run, *assembly.Resource, *T) (assembly.Creation, error)
}

func (k kind[T]) made() []string          { return k.types }
func (k kind[T]) needed() []engine.Engine { return k.needs }

func (k kind[T]) refused(
	ctx context.Context, options Options, resource *assembly.Resource, typed any,
) assembly.Problems {
	form, ok := typed.(*T)
	if !ok {
		return assembly.Problems{resource.Problem("", "is decoded as %T: its provider makes %T", typed, form)}
	}
	if k.check == nil {
		return nil
	}
	return k.check(ctx, options, resource, form)
}

func (k kind[T]) prepared(ctx context.Context, run *Run, resource *assembly.Resource, typed any) error {
	if k.prepare == nil {
		return nil
	}
	return k.prepare(ctx, run, resource, typed.(*T))
}

func (k kind[T]) created(
	ctx context.Context, run *Run, resource *assembly.Resource, typed any,
) (assembly.Creation, error) {
	return k.create(ctx, run, resource, typed.(*T))
}

// of is the provider of a resource type; nil where there is none.
func of(resourceType string) provider {
	for _, candidate := range providers {
		for _, made := range candidate.made() {
			if made == resourceType || strings.HasSuffix(made, "::") && strings.HasPrefix(resourceType, made) {
				return candidate
			}
		}
	}
	return nil
}

// Check refuses, before anything starts, what the engines cannot do, and what is not installed.
func Check(ctx context.Context, options Options) assembly.Check {
	return func(plan *assembly.Plan) (problems assembly.Problems) {
		looked := map[engine.Engine]bool{}
		for _, resource := range running(plan) {
			responsible := of(resource.Type)
			if responsible == nil {
				problems = append(problems, resource.Problem("Type",
					"internal/assembly says that %s runs, and internal/local/provider does not make it", resource.Type))
				continue
			}
			problems = append(problems, responsible.refused(ctx, options, resource, plan.Rehearsed(resource))...)
			for _, needed := range responsible.needed() {
				if looked[needed] {
					continue
				}
				looked[needed] = true
				if err := needed.Installed(ctx, options.Source); err != nil {
					problems = append(problems, resource.Problem("", "needs %s: %v", needed.Name(), err))
				}
			}
		}
		for _, check := range together {
			problems = append(problems, check(plan)...)
		}
		return problems
	}
}

// Needed are the engines that a plan's resources need, in the order of engine.All.
func Needed(plan *assembly.Plan) []engine.Engine {
	needed := map[engine.Engine]bool{}
	for _, resource := range running(plan) {
		for _, one := range of(resource.Type).needed() {
			needed[one] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(engine.All), func(one engine.Engine) bool { return !needed[one] })
}

// running are the resources of a plan that run.
func running(plan *assembly.Plan) []*assembly.Resource {
	return slices.DeleteFunc(plan.Resources(), func(resource *assembly.Resource) bool {
		return resource.Fate != assembly.Run
	})
}

// rehearsed are the resources of a plan that run and have the typed form T, as far as it is known
// before anything is created, in the order in which they are made.
func rehearsed[T any](plan *assembly.Plan) iter.Seq2[*assembly.Resource, *T] {
	return func(yield func(*assembly.Resource, *T) bool) {
		for _, resource := range running(plan) {
			if typed, ok := plan.Rehearsed(resource).(*T); ok && !yield(resource, typed) {
				return
			}
		}
	}
}

// Create makes a resource from its typed form.
func (r *Run) Create(ctx context.Context, resource *assembly.Resource, typed any) (assembly.Creation, error) {
	responsible := of(resource.Type)
	if problems := responsible.refused(ctx, r.Options, resource, typed); len(problems) > 0 {
		return assembly.Creation{}, problems
	}
	creation, err := responsible.created(ctx, r, resource, typed)
	if err != nil {
		return assembly.Creation{}, fmt.Errorf("%s (%s): %w", resource, resource.Type, err)
	}
	return creation, nil
}
