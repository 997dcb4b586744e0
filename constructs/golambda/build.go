package golambda

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sync"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

// Executable is the file name that the provided.al2023 runtime starts.
const Executable = "bootstrap"

const (
	// sources is the folder of the functions, one Go command in each folder of it.
	sources = "lambda"
	// commands is the go command's pattern for them; what is no command yields no executable.
	commands = "./" + sources + "/..."
)

// compiled are the executables of all functions by the names of their folders, compiled by whoever
// asks first: one run of the go command for all takes little more than one for each.
var compiled = compileOnce(context.Background())

func compileOnce(ctx context.Context) func() (map[string][]byte, error) {
	return sync.OnceValues(func() (map[string][]byte, error) {
		root, err := ModuleRoot()
		if err != nil {
			return nil, err
		}
		return Build(ctx, root)
	})
}

// CompileAhead begins to compile the functions beside what the app does until New needs them; a
// failure is New's to report. stop ends it, and returns when nothing of it runs any more.
func CompileAhead() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	compiled = compileOnce(ctx)
	all := compiled
	go all() //nolint:errcheck // compiled keeps the error for New
	return func() {
		cancel()
		_, _ = all()
	}
}

// Build compiles every Go command below the module's lambda folder into a static linux/arm64
// executable, and returns their bytes by the names of their folders.
//
// The same source, module versions and Go release yield the same bytes in every directory and at
// every commit: no path (-trimpath) and no version control state (-buildvcs=false) enters the file,
// and GOFLAGS of the environment is ignored.
//
// Executables are kept in the module's bin folder: the go command links none anew whose build ID
// says that it is up to date, and linking is most of the time. Each build works on links in a
// folder of its own, which the go command replaces but never writes into, and replaces kept
// executables whole, so that builds at the same time do not disturb each other. Where nothing can
// be kept, as in a checkout that is read-only, every build links.
func Build(ctx context.Context, moduleRoot string) (map[string][]byte, error) {
	bin := filepath.Join(moduleRoot, "bin")
	work, err := workFolder(bin)
	if err != nil {
		return nil, fmt.Errorf("golambda: making a folder to compile the functions in: %w", err)
	}
	defer os.RemoveAll(work)
	kept := filepath.Join(bin, sources)
	mains, err := filepath.Glob(filepath.Join(moduleRoot, sources, "*", "main.go"))
	if err != nil {
		return nil, fmt.Errorf("golambda: finding the functions: %w", err)
	}
	for _, main := range mains {
		name := filepath.Base(filepath.Dir(main))
		_ = os.Link(filepath.Join(kept, name), filepath.Join(work, name)) // else it is made anew
	}
	if err := compile(ctx, moduleRoot, work); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(work)
	if err != nil {
		return nil, fmt.Errorf("golambda: reading what the functions were compiled to: %w", err)
	}
	built := make(map[string][]byte, len(entries))
	for _, entry := range entries {
		name := entry.Name()
		if built[name], err = os.ReadFile(filepath.Join(work, name)); err != nil {
			return nil, fmt.Errorf("golambda: reading what the functions were compiled to: %w", err)
		}
		keep(filepath.Join(work, name), filepath.Join(kept, name))
	}
	return built, nil
}

// keep moves a new executable to where the next build looks for it. It may fail: that costs the
// next build its time and nothing else.
func keep(executable, kept string) {
	made, err := os.Stat(executable)
	if err != nil {
		return
	}
	if had, err := os.Stat(kept); err == nil && os.SameFile(made, had) {
		return
	}
	if os.MkdirAll(filepath.Dir(kept), 0o755) == nil {
		_ = os.Rename(executable, kept)
	}
}

// workFolder is below bin where that can be written: a file is moved whole only within one disk.
func workFolder(bin string) (string, error) {
	if os.MkdirAll(bin, 0o755) == nil {
		if work, err := os.MkdirTemp(bin, ".functions-"); err == nil {
			return work, nil
		}
	}
	return os.MkdirTemp("", "diecast-functions-")
}

func compile(ctx context.Context, moduleRoot, outputFolder string) error {
	var stderr bytes.Buffer
	build := exec.CommandContext(ctx, "go", "build",
		"-trimpath", "-buildvcs=false", "-mod=readonly",
		// Leaves out the net/rpc mode that only the retired go1.x runtime used.
		"-tags", "lambda.norpc",
		"-ldflags", "-s -w",
		"-o", outputFolder+string(filepath.Separator), commands)
	build.Dir = moduleRoot
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "GOARM64=v8.0", "CGO_ENABLED=0", "GOFLAGS=")
	build.Stderr = &stderr
	// The go command is asked to stop, for it then ends the compilers that it has started.
	build.Cancel = func() error { return build.Process.Signal(os.Interrupt) }
	if err := build.Run(); err != nil {
		return fmt.Errorf("golambda: compiling %s for linux/arm64 failed: %w\n%s", commands, err, stderr.Bytes())
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
			return "", errors.New("golambda: no go.mod at or above the working directory; run the app from a " +
				"checkout of the project")
		}
		dir = parent
	}
}

// compiler is CDK's hook for bundling without Docker. Its fields are unexported because jsii would
// serialise exported ones into the asset's hash.
type compiler struct {
	source  string
	failure error
}

// TryBundle is called back from within jsii's kernel. It never answers false, for CDK would then
// look for Docker, nor panics, for that would end the kernel in the middle of a call and bury the
// compiler's message under a stack trace: a failure is kept for New, and its text stands in for the
// executable.
func (c *compiler) TryBundle(outputDir *string, _ *awscdk.BundlingOptions) *bool {
	if c.failure = c.bundle(*outputDir); c.failure != nil {
		failure := filepath.Join(*outputDir, "failure.txt")
		c.failure = errors.Join(c.failure, os.WriteFile(failure, []byte(c.failure.Error()), 0o600))
	}
	return jsii.Bool(true)
}

func (c *compiler) bundle(outputDir string) error {
	executables, err := compiled()
	if err != nil {
		return err
	}
	executable, ok := executables[path.Base(c.source)]
	if !ok {
		return fmt.Errorf("golambda: %s holds no Go command", c.source)
	}
	if err := os.WriteFile(filepath.Join(outputDir, Executable), executable, 0o755); err != nil {
		return fmt.Errorf("golambda: laying out the executable of %s: %w", c.source, err)
	}
	return nil
}
