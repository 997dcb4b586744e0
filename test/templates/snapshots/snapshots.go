// Package snapshots holds the reviewed templates of every profile: lean's whole,
// the other profiles' as their difference from lean's, which a reviewer reads and
// Apply turns back into whole templates. It must not know CDK, nor what a
// template means.
package snapshots

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
)

// Whole is the profile whose templates are kept whole.
const Whole = "lean"

// Endings of the files' names, after the stack's.
const (
	wholeEnding      = ".template.json"
	differenceEnding = ".diff"
)

// files has one folder for each profile, with one file for each of its stacks.
//
//go:embed */*
var files embed.FS

// Profiles lists the profiles that have snapshots, sorted.
func Profiles() ([]string, error) {
	folders, err := files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	var profiles []string
	for _, folder := range folders {
		profiles = append(profiles, folder.Name())
	}
	return profiles, nil
}

// Read returns a profile's reviewed templates by stack, as encoding/json decodes
// them.
func Read(profile string) (map[string]map[string]any, error) {
	entries, err := files.ReadDir(profile)
	if err != nil {
		return nil, fmt.Errorf("snapshots: profile %s: %w", profile, err)
	}
	templates := map[string]map[string]any{}
	for _, entry := range entries {
		file := path.Join(profile, entry.Name())
		data, err := files.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("snapshots: %w", err)
		}
		stack, template, err := decode(entry.Name(), data)
		if err != nil {
			return nil, fmt.Errorf("snapshots: %s: %w", file, err)
		}
		templates[stack] = template
	}
	return templates, nil
}

func decode(name string, data []byte) (stack string, template map[string]any, err error) {
	if stack, ok := strings.CutSuffix(name, wholeEnding); ok {
		err := json.Unmarshal(data, &template)
		return stack, template, err
	}
	stack, ok := strings.CutSuffix(name, differenceEnding)
	if !ok {
		return "", nil, errors.New("neither a template nor a difference of one")
	}
	whole, err := wholeTemplate(stack)
	if err != nil {
		return "", nil, err
	}
	template, err = Apply(whole, string(data))
	return stack, template, err
}

// wholeTemplate is a stack's template in the profile that is kept whole, empty
// where that profile has no such stack.
func wholeTemplate(stack string) (map[string]any, error) {
	whole := map[string]any{}
	data, err := files.ReadFile(path.Join(Whole, stack+wholeEnding))
	if err != nil {
		return whole, nil
	}
	err = json.Unmarshal(data, &whole)
	return whole, err
}

// Encode writes a profile's templates as the files of its folder, by name. whole
// are the templates of the profile that is kept whole.
func Encode(profile string, templates, whole map[string]map[string]any) (map[string]string, error) {
	encoded := map[string]string{}
	for stack, template := range templates {
		if profile != Whole {
			encoded[stack+differenceEnding] = Diff(whole[stack], template)
			continue
		}
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", " ")
		if err := encoder.Encode(template); err != nil {
			return nil, fmt.Errorf("snapshots: stack %s: %w", stack, err)
		}
		encoded[stack+wholeEnding] = b.String()
	}
	return encoded, nil
}
