// Package gobuild compiles Go commands of this module at synthesis, on the machine that runs it,
// without Docker, and lays them out as CDK assets. It must not know what runs them.
package gobuild

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
	"golang.org/x/mod/modfile"

	"diecast/internal/surroundings"
)

// Target is what one run of the go command compiles.
type Target struct {
	// Packages are commands below the module's root: one folder as "./web", or every one below a
	// folder as "./lambda/...".
	Packages string
	// Architecture of the Linux that they run on, as Go calls it: arm64 or amd64.
	Architecture string
	// Tags are build tags, with commas between. Default none.
	Tags string
}

func (t Target) String() string { return t.Packages + " for linux/" + t.Architecture }

// runs are what was compiled, or is being compiled, by whoever asked first.
var (
	runs   = map[Target]func() (map[string][]byte, error){}
	runsOf sync.Mutex
)

// compileOnce is the one run for a target. The context is that of who asks first.
func compileOnce(ctx context.Context, target Target) func() (map[string][]byte, error) {
	runsOf.Lock()
	defer runsOf.Unlock()
	if _, ok := runs[target]; !ok {
		runs[target] = sync.OnceValues(func() (map[string][]byte, error) {
			root, err := ModuleRoot()
			if err != nil {
				return nil, err
			}
			return Build(ctx, root, target)
		})
	}
	return runs[target]
}

// Ahead begins to compile a target beside what the app does until a construct needs it; a failure
// is the construct's to report. stop ends it, and returns when nothing of it runs any more.
func Ahead(target Target) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	all := compileOnce(ctx, target)
	go all() // the run keeps the error for the construct
	return func() {
		cancel()
		_, _ = all()
	}
}

// Build compiles the commands of a target into static executables, and returns their bytes by the
// names of their folders.
//
// The same source and module versions yield the same bytes for everybody, in every directory and at
// every commit: no path (-trimpath) and no version control state (-buildvcs=false) enters the file,
// nothing of the environment shapes it (package surroundings), and the release of Go is the one
// that go.mod names as its toolchain. Where that cannot be had, or anything else is in an
// executable than was asked for, Build fails and says what.
//
// Executables are kept in the module's bin folder: the go command links none anew whose build ID
// says that it is up to date, and linking is most of the time. Each build works on links in a
// folder of its own, which the go command replaces but never writes into, and replaces kept
// executables whole, so that builds at the same time do not disturb each other. Where nothing can
// be kept, as in a checkout that is read-only, every build links.
func Build(ctx context.Context, moduleRoot string, target Target) (map[string][]byte, error) {
	bin := filepath.Join(moduleRoot, "bin")
	work, err := workFolder(bin)
	if err != nil {
		return nil, fmt.Errorf("gobuild: making a folder to compile %s in: %w", target, err)
	}
	defer os.RemoveAll(work)
	made, temporary := filepath.Join(work, "made"), filepath.Join(work, "temporary")
	if err := errors.Join(os.Mkdir(made, 0o755), os.Mkdir(temporary, 0o755)); err != nil {
		return nil, fmt.Errorf("gobuild: making a folder to compile %s in: %w", target, err)
	}
	kept := filepath.Join(bin, "linux-"+target.Architecture)
	folders := target.Packages
	if below, all := strings.CutSuffix(folders, "/..."); all {
		folders = filepath.Join(below, "*")
	}
	mains, err := filepath.Glob(filepath.Join(moduleRoot, folders, "main.go"))
	if err != nil {
		return nil, fmt.Errorf("gobuild: finding %s: %w", target, err)
	}
	for _, main := range mains {
		name := filepath.Base(filepath.Dir(main))
		_ = os.Link(filepath.Join(kept, name), filepath.Join(made, name)) // else it is made anew
	}
	release, err := toolchain(moduleRoot)
	if err != nil {
		return nil, fmt.Errorf("gobuild: finding the release of Go for %s: %w", target, err)
	}
	if err := compile(ctx, moduleRoot, made, temporary, release, target); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(made)
	if err != nil {
		return nil, fmt.Errorf("gobuild: reading what %s was compiled to: %w", target, err)
	}
	built := make(map[string][]byte, len(entries))
	for _, entry := range entries {
		name := entry.Name()
		if built[name], err = os.ReadFile(filepath.Join(made, name)); err != nil {
			return nil, fmt.Errorf("gobuild: reading what %s was compiled to: %w", target, err)
		}
		if err := check(built[name], release, target); err != nil {
			return nil, fmt.Errorf("gobuild: %s of %s: %w", name, target, err)
		}
		keep(filepath.Join(made, name), filepath.Join(kept, name))
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
		if work, err := os.MkdirTemp(bin, ".build-"); err == nil {
			return work, nil
		}
	}
	return os.MkdirTemp("", "diecast-build-")
}

// toolchain is the release of Go that the module's go.mod names, as "go1.26.8"; "local", which is
// whatever there is, where it names none.
func toolchain(moduleRoot string) (string, error) {
	file := filepath.Join(moduleRoot, "go.mod")
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	module, err := modfile.Parse(file, text, nil)
	if err != nil {
		return "", err
	}
	if module.Toolchain == nil {
		return "local", nil
	}
	return module.Toolchain.Name, nil
}

func compile(ctx context.Context, moduleRoot, made, temporary, release string, target Target) error {
	environment := surroundings.Compiler(temporary, map[string]string{
		"GOTOOLCHAIN": release, "GOOS": "linux", "GOARCH": target.Architecture, "PWD": moduleRoot,
	})
	var stderr bytes.Buffer
	build := exec.CommandContext(ctx, "go", "build",
		"-trimpath", "-buildvcs=false", "-mod=readonly",
		"-tags", target.Tags,
		"-ldflags", "-s -w",
		"-o", made+string(filepath.Separator), target.Packages)
	build.Dir, build.Env, build.Stderr = moduleRoot, environment, &stderr
	// The go command is asked to stop, for it then ends the compilers that it has started.
	build.Cancel = func() error { return build.Process.Signal(os.Interrupt) }
	if err := build.Run(); err != nil {
		return fmt.Errorf("gobuild: compiling %s failed: %w\n%s", target, err, stderr.Bytes())
	}
	return nil
}

// check compares what an executable says of how it was compiled with what was asked for: a release
// of Go that a distribution has changed, or a default in its own files, would give other bytes.
func check(executable []byte, release string, target Target) error {
	info, err := buildinfo.Read(bytes.NewReader(executable))
	if err != nil {
		return fmt.Errorf("reading how it was compiled: %w", err)
	}
	var problems []error
	if release != "local" && info.GoVersion != release {
		problems = append(problems, fmt.Errorf("it was compiled by %s: go.mod names %s, so that the bytes are the "+
			"same everywhere; install that release, or let the go command fetch it", info.GoVersion, release))
	}
	asked := map[string]string{
		"-buildmode": "exe", "-compiler": "gc", "-tags": target.Tags, "-trimpath": "true", "CGO_ENABLED": "0",
		"GOOS": "linux", "GOARCH": target.Architecture, "GOARM64": "v8.0", "GOAMD64": "v1",
	}
	for _, setting := range info.Settings {
		if setting.Key == "DefaultGODEBUG" { // of the source
			continue
		}
		if value, known := asked[setting.Key]; !known || value != setting.Value {
			problems = append(problems, fmt.Errorf("it was compiled with %s=%s, which nobody asked for: look for it "+
				"in the go command itself and in the file go.env of its folder", setting.Key, setting.Value))
		}
	}
	return errors.Join(problems...)
}

// ModuleRoot is the nearest directory at or above the working directory that
// holds a go.mod.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("gobuild: finding the module's root: %w", err)
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("gobuild: finding the module's root: %w", err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("gobuild: no go.mod at or above the working directory; run the app from a " +
				"checkout of the project")
		}
		dir = parent
	}
}

// Bundler is CDK's hook for bundling without Docker: it lays out one command of a target. Its
// fields are unexported because jsii would serialise exported ones into the asset's hash.
type Bundler struct {
	target        Target
	command, file string
	beside        map[string][]byte
	checksum      string
	failure       error
}

// NewBundler lays out the command in the folder of that name, as a file of the given name.
func NewBundler(target Target, command, file string) *Bundler {
	return &Bundler{target: target, command: command, file: file}
}

// LayBeside lays files beside the command, by their names.
func (b *Bundler) LayBeside(files map[string][]byte) { b.beside = files }

// Options are CDK's, for an asset with AssetHashType_OUTPUT.
func (b *Bundler) Options(output awscdk.BundlingOutput) *awscdk.BundlingOptions {
	return &awscdk.BundlingOptions{
		// Never pulled: the local compiler either succeeds or ends the synthesis.
		Image:      awscdk.DockerImage_FromRegistry(jsii.String("scratch")),
		Local:      b,
		OutputType: output,
	}
}

// Err is why bundling failed; to be asked once the asset is made.
func (b *Bundler) Err() error { return b.failure }

// SHA256 is the executable's checksum in hexadecimal digits; empty where CDK bundled nothing, as it
// does for stacks that are not asked for.
func (b *Bundler) SHA256() string { return b.checksum }

// TryBundle is called back from within jsii's kernel. It never answers false, for CDK would then
// look for Docker, nor panics, for that would end the kernel in the middle of a call and bury the
// compiler's message under a stack trace: a failure is kept for Err, and its text stands in for the
// executable.
func (b *Bundler) TryBundle(outputDir *string, _ *awscdk.BundlingOptions) *bool {
	if b.failure = b.bundle(*outputDir); b.failure != nil {
		failure := filepath.Join(*outputDir, "failure.txt")
		b.failure = errors.Join(b.failure, os.WriteFile(failure, []byte(b.failure.Error()), 0o600))
	}
	return jsii.Bool(true)
}

func (b *Bundler) bundle(outputDir string) error {
	executables, err := compileOnce(context.Background(), b.target)()
	if err != nil {
		return err
	}
	executable, ok := executables[b.command]
	if !ok {
		return fmt.Errorf("gobuild: %s holds no Go command %s", b.target.Packages, b.command)
	}
	if err := b.layOut(outputDir, executable); err != nil {
		return fmt.Errorf("gobuild: laying out %s: %w", b.command, err)
	}
	sum := sha256.Sum256(executable)
	b.checksum = hex.EncodeToString(sum[:])
	return nil
}

// layOut writes the executable and what lies beside it into a folder.
func (b *Bundler) layOut(folder string, executable []byte) error {
	problems := []error{os.Chmod(folder, 0o755), lay(filepath.Join(folder, b.file), executable, 0o755)}
	for name, content := range b.beside {
		problems = append(problems, lay(filepath.Join(folder, name), content, 0o644))
	}
	return errors.Join(problems...)
}

// lay writes a file with exactly the given permissions. The umask has no say: who runs and reads
// the file is another user than who packed it.
func lay(file string, content []byte, permissions fs.FileMode) error {
	if err := os.WriteFile(file, content, permissions); err != nil {
		return err
	}
	return os.Chmod(file, permissions)
}
