// Package assembly reads a cloud assembly, the folder that `cdk synth` writes (cdk.out), the way
// CloudFormation would: it resolves parameters, conditions and intrinsics, decides what becomes of
// each resource, and yields typed resources of all stacks in one order in which they can be
// created.
//
//	assembled, err := assembly.Read("cdk.out")
//	plan, err := assembled.Plan(assembly.Environment{})  // every problem, before anything starts
//	for _, resource := range plan.Resources() {
//		typed, err := plan.Decode(resource)              // *Stream, ...; nil where only checked
//		...                                              // create it
//		err = plan.Created(resource, creation)           // Ref and Fn::GetAtt resolve to it
//	}
//	outputs, err := plan.Outputs()                       // as cdk deploy --outputs-file has them
//
// registry.go gives every resource type its fate. One that is only checked is answered for by a
// stand-in, the same every time, so that what runs can refer to it:
//
//	checked:Network/NetworkVpc7FB7348F                                Ref: stack, logical id
//	checked:Network/NetworkVpc7FB7348F.CidrBlock                      an attribute
//	arn:aws:iam::000000000000:checked/Streaming/DeliverRole40EE88B9   either, that is an ARN
//
// The typed forms hold what the laptop's side reads, and nothing else. The package starts nothing,
// calls nothing and knows nothing of the engines that stand in for AWS: what they cannot do, a
// Check tells.
package assembly

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ServerMetadata is the key under which an Auto Scaling group names the Go package that its
// instances run, and the environment of that.
const ServerMetadata = "diecast:server"

// SourceMetadata is the key under which a function's resource names the Go package that it was
// built from.
const SourceMetadata = "diecast:source"

// Assembly is what cdk.out holds. It does not change once it is read.
type Assembly struct {
	stacks  []*Stack
	assets  []asset
	files   fs.FS
	faulted Problems
}

// Stack is one CloudFormation stack of the assembly.
type Stack struct {
	// ID is the stack's id in the app, such as Streaming; Name is CloudFormation's, such as
	// diecast-Streaming.
	ID, Name string

	environment  string
	dependencies []string
	bootstrap    bootstrap
	template     map[string]any
	paths        map[string]string
	resources    map[string]*Resource
}

// Resource is one resource of a template.
type Resource struct {
	Stack     *Stack
	LogicalID string
	// Type is CloudFormation's, such as AWS::Kinesis::Stream.
	Type string
	// ConstructPath is the path of the CDK construct, such as /Streaming/Events/Stream/Resource;
	// empty where the assembly does not tell it.
	ConstructPath string
	// Fate says what becomes of the resource on a laptop, Reason why it is only checked, or why it
	// has no fate and the template is refused.
	Fate   Fate
	Reason string

	kind       kind
	properties map[string]any
	metadata   map[string]any
	dependsOn  []string
	condition  string
}

// String is the resource's name in messages: stack and logical id.
func (r *Resource) String() string { return r.Stack.ID + "/" + r.LogicalID }

type bootstrap struct {
	version   int
	parameter string
}

type asset struct {
	bucket, key, path string
}

type manifest struct {
	Version   string              `json:"version"`
	Artifacts map[string]artifact `json:"artifacts"`
}

type artifact struct {
	Type                   string   `json:"type"`
	Environment            string   `json:"environment"`
	Dependencies           []string `json:"dependencies"`
	AdditionalMetadataFile string   `json:"additionalMetadataFile"`
	Properties             struct {
		File                              string `json:"file"`
		TemplateFile                      string `json:"templateFile"`
		StackName                         string `json:"stackName"`
		RequiresBootstrapStackVersion     int    `json:"requiresBootstrapStackVersion"`
		BootstrapStackVersionSSMParameter string `json:"bootstrapStackVersionSsmParameter"`
	} `json:"properties"`
}

// Types of a manifest's artifacts, from the cloud assembly schema.
const (
	stackArtifact  = "aws:cloudformation:stack"
	assetsArtifact = "cdk:asset-manifest"
	nestedArtifact = "cdk:cloud-assembly"
)

// Read reads the assembly in this folder: manifest, templates, asset manifests and construct paths.
// The error says what is missing or unreadable; what a template says is judged by Plan.
func Read(folder string) (*Assembly, error) {
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return nil, fmt.Errorf("read the cloud assembly %s: %w", folder, err)
	}
	assembled, err := read(os.DirFS(absolute))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the cloud assembly %s: %w; `make synth` writes it anew", folder, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the cloud assembly %s: %w", folder, err)
	}
	return assembled, nil
}

func read(files fs.FS) (*Assembly, error) {
	var found manifest
	if err := readJSON(files, "manifest.json", &found); err != nil {
		return nil, err
	}
	if found.Version == "" || len(found.Artifacts) == 0 {
		return nil, errors.New("manifest.json is not the manifest of a cloud assembly: it has no version or no " +
			"artifacts")
	}
	assembled := &Assembly{files: files}
	for _, id := range slices.Sorted(maps.Keys(found.Artifacts)) {
		described := found.Artifacts[id]
		var err error
		switch described.Type {
		case stackArtifact:
			err = assembled.readStack(id, described)
		case assetsArtifact:
			err = assembled.readAssets(described.Properties.File)
		case nestedArtifact:
			err = fmt.Errorf("artifact %s is a stage: stages are not read, put its stacks into the app itself", id)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(assembled.stacks) == 0 {
		return nil, errors.New("manifest.json names no stack")
	}
	return assembled, nil
}

func (a *Assembly) readStack(id string, described artifact) error {
	stack := &Stack{
		ID: id, Name: described.Properties.StackName, environment: described.Environment,
		dependencies: described.Dependencies,
		bootstrap: bootstrap{
			version:   described.Properties.RequiresBootstrapStackVersion,
			parameter: described.Properties.BootstrapStackVersionSSMParameter,
		},
		resources: map[string]*Resource{}, paths: map[string]string{},
	}
	if stack.Name == "" {
		stack.Name = id
	}
	if err := readJSON(a.files, described.Properties.TemplateFile, &stack.template); err != nil {
		return fmt.Errorf("template of stack %s: %w", id, err)
	}
	if described.AdditionalMetadataFile != "" {
		if err := stack.readPaths(a.files, described.AdditionalMetadataFile); err != nil {
			return fmt.Errorf("metadata of stack %s: %w", id, err)
		}
	}
	for _, other := range a.stacks {
		if other.Name == stack.Name {
			return fmt.Errorf("stacks %s and %s have the same name, %s: their outputs could not be told apart",
				other.ID, id, stack.Name)
		}
	}
	a.stacks = append(a.stacks, stack)
	a.faulted = append(a.faulted, stack.readTemplate()...)
	return nil
}

// readPaths keeps where in the tree of constructs each logical id comes from.
func (s *Stack) readPaths(files fs.FS, file string) error {
	var entries map[string][]struct {
		Type string `json:"type"`
		Data any    `json:"data"`
	}
	if err := readJSON(files, file, &entries); err != nil {
		return err
	}
	for path, described := range entries {
		for _, entry := range described {
			if id, ok := entry.Data.(string); ok && entry.Type == "aws:cdk:logicalId" {
				s.paths[id] = path
			}
		}
	}
	return nil
}

func (a *Assembly) readAssets(file string) error {
	var found struct {
		Files map[string]struct {
			Source struct {
				Path string `json:"path"`
			} `json:"source"`
			Destinations map[string]struct {
				BucketName string `json:"bucketName"`
				ObjectKey  string `json:"objectKey"`
			} `json:"destinations"`
		} `json:"files"`
	}
	if err := readJSON(a.files, file, &found); err != nil {
		return fmt.Errorf("asset manifest: %w", err)
	}
	for _, id := range slices.Sorted(maps.Keys(found.Files)) {
		for _, destination := range found.Files[id].Destinations {
			a.assets = append(a.assets, asset{destination.BucketName, destination.ObjectKey,
				found.Files[id].Source.Path})
		}
	}
	return nil
}

func readJSON(files fs.FS, name string, into any) error {
	data, err := fs.ReadFile(files, filepath.ToSlash(name))
	if err != nil {
		return err
	}
	// Numbers keep their spelling: CloudFormation joins them into strings as they were written.
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: more than one JSON value", name)
	}
	return nil
}

var templateSections = []string{
	"AWSTemplateFormatVersion", "Conditions", "Description", "Mappings", "Metadata", "Outputs", "Parameters",
	"Resources", "Rules",
}

var resourceMembers = []string{
	"Condition", "CreationPolicy", "DeletionPolicy", "DependsOn", "Metadata", "Properties", "Type", "UpdatePolicy",
	"UpdateReplacePolicy",
}

// readTemplate gives the template's resources their shape.
func (s *Stack) readTemplate() (problems Problems) {
	fail := func(id string, at *path, format string, arguments ...any) {
		problems = append(problems, Problem{Stack: s.ID, LogicalID: id, Path: at.String(), Message: fmt.Sprintf(format,
			arguments...)})
	}
	for _, section := range slices.Sorted(maps.Keys(s.template)) {
		_, isObject := s.template[section].(map[string]any)
		switch {
		case section == "Transform":
			fail("", at(section), "macros and transforms run in AWS only: write the template out")
		case !slices.Contains(templateSections, section):
			fail("", at(section), "unknown section; known are %s", strings.Join(templateSections, ", "))
		case !isObject && section != "AWSTemplateFormatVersion" && section != "Description":
			fail("", at(section), "got %s, want an object", shown(s.template[section]))
		}
	}
	resources := s.section("Resources")
	if len(resources) == 0 {
		fail("", at("Resources"), "the template has no resources")
	}
	for _, id := range slices.Sorted(maps.Keys(resources)) {
		described, ok := resources[id].(map[string]any)
		if !ok {
			fail(id, nil, "got %s, want an object", shown(resources[id]))
			continue
		}
		s.resources[id] = s.readResource(id, described, func(at *path, format string, arguments ...any) {
			fail(id, at,
				format, arguments...)
		})
	}
	return problems
}

func (s *Stack) readResource(id string, described map[string]any,
	fail func(at *path, format string, arguments ...any)) *Resource {
	resource := &Resource{Stack: s, LogicalID: id, ConstructPath: s.paths[id]}
	for _, member := range slices.Sorted(maps.Keys(described)) {
		if !slices.Contains(resourceMembers, member) {
			fail(at(member), "unknown member of a resource; known are %s", strings.Join(resourceMembers, ", "))
		}
	}
	var ok bool
	if resource.Type, ok = described["Type"].(string); !ok {
		fail(at("Type"), "got %s, want the name of a resource type", shown(described["Type"]))
	}
	for name, into := range map[string]*map[string]any{"Properties": &resource.properties,
		"Metadata": &resource.metadata} {
		if value, present := described[name]; present {
			if *into, ok = value.(map[string]any); !ok {
				fail(at(name), "got %s, want an object", shown(value))
			}
		}
	}
	if value, present := described["Condition"]; present {
		if resource.condition, ok = value.(string); !ok {
			fail(at("Condition"), "got %s, want the name of a condition", shown(value))
		}
	}
	switch value := described["DependsOn"].(type) {
	case nil:
	case string:
		resource.dependsOn = []string{value}
	case []any:
		for i, element := range value {
			if name, ok := element.(string); ok {
				resource.dependsOn = append(resource.dependsOn, name)
			} else {
				fail(at("DependsOn").index(i), "got %s, want a logical id", shown(element))
			}
		}
	default:
		fail(at("DependsOn"), "got %s, want a logical id or a list of them", shown(value))
	}
	resource.settle()
	return resource
}

// section is one section of the template; empty where it is absent or not an object.
func (s *Stack) section(name string) map[string]any {
	section, _ := s.template[name].(map[string]any)
	return section
}

// Source is the Go package that a function was built from, such as lambda/transform; empty where
// the template does not say.
func (r *Resource) Source() string {
	source, _ := r.metadata[SourceMetadata].(string)
	return source
}

// findAsset fails where no folder or file of the assembly was uploaded as this object. Bucket names
// in asset manifests hold ${AWS::AccountId} and its like, which expand replaces.
func (a *Assembly) findAsset(bucket, key string, expand func(string) string) error {
	for _, candidate := range a.assets {
		if candidate.key != key || expand(candidate.bucket) != bucket {
			continue
		}
		var err error
		if filepath.IsAbs(candidate.path) {
			_, err = os.Stat(candidate.path)
		} else {
			_, err = fs.Stat(a.files, filepath.ToSlash(filepath.Clean(candidate.path)))
		}
		if err != nil {
			return fmt.Errorf("the asset of s3://%s/%s: %w", bucket, key, err)
		}
		return nil
	}
	return fmt.Errorf("no asset of the assembly becomes s3://%s/%s", bucket, key)
}
