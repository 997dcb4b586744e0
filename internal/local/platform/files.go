package platform

import (
	"context"
	"encoding/json"
	"path/filepath"

	"diecast/internal/deployment/outputs"
	"diecast/internal/local/ledger"
	"diecast/internal/local/runfolder"
)

// Files in a run's folder while it is up. What they tell is over when the run is: endpoints on
// which nobody answers, or somebody else, are worse than none.
const (
	// OutputsFile has the stacks' outputs and the engines' endpoints.
	OutputsFile = "outputs.json"
	// IgnoredFile has the properties of the templates that the run does not honour: a list of
	// Ignored.
	IgnoredFile = "ignored.json"
)

// Ignored is a property of a resource that runs which the run knowingly does not honour.
type Ignored struct {
	// Resource is its stack and logical id, Type CloudFormation's.
	Resource string `json:"resource"`
	Type     string `json:"type"`
	// Property is the path within the resource's properties.
	Property string `json:"property"`
	Reason   string `json:"reason"`
}

// Ignored are all properties that the run does not honour, in the order of the resources' creation.
func (p *Platform) Ignored() []Ignored {
	all := []Ignored{}
	for _, resource := range p.plan.Resources() {
		for _, ignored := range p.plan.Ignored(resource) {
			all = append(all, Ignored{
				Resource: resource.String(), Type: resource.Type, Property: ignored.Property, Reason: ignored.Reason,
			})
		}
	}
	return all
}

// ReadIgnored reads what the run in this folder told of Ignored; nothing where it has not come up
// yet.
func ReadIgnored(dir string) ([]Ignored, error) {
	all, err := runfolder.ReadJSON[[]Ignored](filepath.Join(dir, IgnoredFile))
	if all == nil {
		return nil, err
	}
	return *all, err
}

// Endpoints are the engines' addresses, and the login that they take.
func (p *Platform) Endpoints() outputs.Endpoints { return p.engines.Endpoints() }

// writeFiles writes the run's files, the outputs last: who waits for these finds the others, too.
func (p *Platform) writeFiles(ctx context.Context, dir string) error {
	stacks, err := p.plan.Outputs()
	if err != nil {
		return err
	}
	ignored, err := json.MarshalIndent(p.Ignored(), "", "  ")
	if err != nil {
		return err
	}
	told, err := outputs.File{Stacks: stacks, Endpoints: p.Endpoints()}.Encode()
	if err != nil {
		return err
	}
	if err := p.writeFile(filepath.Join(dir, IgnoredFile), append(ignored, '\n')); err != nil {
		return err
	}
	if err := p.Account(ctx).Write(dir); err != nil {
		return err
	}
	p.files = append(p.files, filepath.Join(dir, ledger.File))
	return p.writeFile(filepath.Join(dir, OutputsFile), told)
}

func (p *Platform) writeFile(file string, data []byte) error {
	if err := runfolder.WriteFile(file, data); err != nil {
		return err
	}
	p.files = append(p.files, file)
	return nil
}
