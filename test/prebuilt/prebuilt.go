// Package prebuilt makes, for tests that run the platform, what make makes before it does: the
// app's assembly, and the operator's command. It knows nothing of what is done with them.
package prebuilt

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Write runs the app, as the CDK CLI does, and returns the assembly's folder, made in an empty one.
// The root is the module's. The functions are not compiled for AWS: the laptop builds its own.
func Write(root, folder string) (assembly string, err error) {
	app, err := App(root, folder)
	if err != nil {
		return "", err
	}
	settings, err := os.ReadFile(filepath.Join(root, "cdk.json"))
	if err != nil {
		return "", err
	}
	var cdk struct{ Context map[string]any }
	if err := json.Unmarshal(settings, &cdk); err != nil {
		return "", fmt.Errorf("cdk.json: %w", err)
	}
	cdk.Context["aws:cdk:bundling-stacks"] = []string{}
	cdkContext, err := json.Marshal(cdk.Context)
	if err != nil {
		return "", err
	}
	assembly = filepath.Join(folder, "cdk.out")
	synth := exec.Command(app)
	synth.Dir = root
	synth.Env = append(os.Environ(), "CDK_CONTEXT_JSON="+string(cdkContext), "CDK_OUTDIR="+assembly,
		"CDK_VALIDATION=false")
	if output, err := synth.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cdk synth: %w\n%s", err, output)
	}
	return assembly, nil
}

// App builds the app into a folder and returns its path.
func App(root, folder string) (app string, err error) {
	app = filepath.Join(folder, "app")
	return app, build(root, app, ".")
}

// Command builds the operator's command into a folder and returns its path.
func Command(root, folder string) (command string, err error) {
	command = filepath.Join(folder, "diecast")
	return command, build(root, command, "./cmd/diecast")
}

func build(root, program, source string) error {
	command := exec.Command("go", "build", "-buildvcs=false", "-o", program, source)
	command.Dir = root
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", source, err, output)
	}
	return nil
}
