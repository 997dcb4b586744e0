package golambda

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

// Executable is the file name that the provided.al2023 runtime starts.
const Executable = "bootstrap"

// Build compiles the Go command in source, a directory relative to the module's
// root, into outputDir as a static linux/arm64 executable named Executable.
//
// The same source, module versions and Go release yield the same bytes in every
// directory and at every commit: no path (-trimpath) and no version control
// state (-buildvcs=false) enters the file, and GOFLAGS of the environment is ignored.
func Build(moduleRoot, source, outputDir string) error {
	var stderr bytes.Buffer
	build := exec.Command("go", "build",
		"-trimpath", "-buildvcs=false", "-mod=readonly",
		// Leaves out the net/rpc mode that only the retired go1.x runtime used.
		"-tags", "lambda.norpc",
		"-ldflags", "-s -w -buildid=",
		"-o", filepath.Join(outputDir, Executable), "./"+filepath.ToSlash(source))
	build.Dir = moduleRoot
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "GOARM64=v8.0", "CGO_ENABLED=0", "GOFLAGS=")
	build.Stderr = &stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("golambda: compiling ./%s for linux/arm64 failed: %w\n%s", source, err, stderr.Bytes())
	}
	return nil
}

// ModuleRoot is the nearest directory at or above the working directory that
// holds a go.mod.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("golambda: finding the module's root: %w", err)
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("golambda: finding the module's root: %w", err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("golambda: no go.mod at or above the working directory; run the app from a checkout of the project")
		}
		dir = parent
	}
}

// compiler is CDK's hook for bundling without Docker. Its fields are unexported
// because jsii would serialise exported ones into the asset's hash.
type compiler struct {
	moduleRoot string
	source     string
	failure    error
}

// TryBundle is called back from within jsii's kernel. It never answers false,
// for CDK would then look for Docker, nor panics, for that would end the kernel
// in the middle of a call and bury the compiler's message under a stack trace:
// a failure is kept for New, and its text stands in for the executable.
func (c *compiler) TryBundle(outputDir *string, _ *awscdk.BundlingOptions) *bool {
	if c.failure = Build(c.moduleRoot, c.source, *outputDir); c.failure != nil {
		c.failure = errors.Join(c.failure, os.WriteFile(filepath.Join(*outputDir, "failure.txt"), []byte(c.failure.Error()), 0o600))
	}
	return jsii.Bool(true)
}
