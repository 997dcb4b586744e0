package platform

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"diecast/internal/deployment/outputs"
	"diecast/internal/local/ledger"
	"diecast/internal/local/process"
	"diecast/internal/local/provider"
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

// Telling are all of them, the outputs last: who waits for these finds the others, too.
var Telling = []string{IgnoredFile, ledger.File, OutputsFile}

// What is in a run's folder beside those.
const (
	// enginesFolder has a folder for each engine and each database, in which logs end with
	// logSuffix.
	enginesFolder = "engines"
	logSuffix     = ".log"
	// buildPrefix begins the names of folders with programs that were built: the next run of the
	// same source takes them as they are.
	buildPrefix = "build"
	// storedFolder is where a database keeps what it stores.
	storedFolder = "data"
)

// Clear removes what a run that has ended, however that was, leaves in its folder and elsewhere:
// processes, what tells of it, what it stored, and passwords. Its logs stay, and what it built. The
// caller holds the folder; where there is none, nothing is done.
func Clear(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	problems := []error{untell(dir)}
	engines := filepath.Join(dir, enginesFolder)
	_, err = clearBelow(engines)
	return errors.Join(append(problems, err, provider.RemoveLeft(engines))...)
}

// untell removes what tells others of a run.
func untell(dir string) error {
	var problems []error
	for _, name := range Telling {
		if err := os.Remove(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// clearBelow ends the processes that a folder tells of, removes all in it but logs and what was
// built, and tells whether something has stayed.
func clearBelow(folder string) (stayed bool, err error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	if _, err := process.CleanUp(folder); err != nil {
		return true, err
	}
	var problems []error
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		stays := false
		switch {
		case !entry.IsDir():
			stays = strings.HasSuffix(entry.Name(), logSuffix)
		case strings.HasPrefix(entry.Name(), buildPrefix):
			stays = true
		case entry.Name() != storedFolder:
			if stays, err = clearBelow(path); err != nil {
				problems = append(problems, err)
			}
		}
		if !stays {
			problems = append(problems, os.RemoveAll(path))
		}
		stayed = stayed || stays
	}
	return stayed, errors.Join(problems...)
}

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

// writeFiles writes the run's files in the order of Telling.
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
	if err := runfolder.WriteFile(filepath.Join(dir, IgnoredFile), append(ignored, '\n')); err != nil {
		return err
	}
	if err := p.Account(ctx).Write(dir); err != nil {
		return err
	}
	return runfolder.WriteFile(filepath.Join(dir, OutputsFile), told)
}
