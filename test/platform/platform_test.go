// Package platform proves the laptop's run end to end: the synthesized platform, on real engines,
// from an event on the stream to the bucket and the table, and that what it does comes from the
// templates alone.
package platform

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"diecast/internal/classicmodels"
	"diecast/internal/deployment"
	"diecast/internal/deployment/outputs"
	"diecast/internal/local/demonstration"
	"diecast/internal/local/platform"
	"diecast/test/prebuilt"
)

// root of the module.
const root = "../.."

// waitForErrors is how long the error output may take: a retry, and the buffers.
const waitForErrors = 10 * time.Second

// synthesized is the assembly of the default profile, written once for all tests.
var synthesized string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	flag.Parse()
	if testing.Short() {
		fmt.Println("platform: every test here synthesizes the app and starts engines, which takes minutes: left " +
			"out by -short")
		return 0
	}
	folder, err := os.MkdirTemp("", "diecast-platform-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "platform:", err)
		return 1
	}
	defer os.RemoveAll(folder)
	programs.folder = filepath.Join(folder, "programs")
	if synthesized, err = prebuilt.Write(root, folder); err != nil {
		fmt.Fprintln(os.Stderr, "platform:", err)
		return 1
	}
	return m.Run()
}

// buildCommand builds the operator's command.
func buildCommand(t *testing.T) string {
	t.Helper()
	command, err := prebuilt.Command(root, t.TempDir())
	require.NoError(t, err)
	return command
}

// changed is a copy of the assembly in which edit has changed one stack's resources.
func changed(t *testing.T, edits map[string]func(resources map[string]any)) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "cdk.out")
	require.NoError(t, os.CopyFS(copied, os.DirFS(synthesized)))
	for stack, edit := range edits {
		file := filepath.Join(copied, stack+".template.json")
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var template map[string]any
		require.NoError(t, json.Unmarshal(text, &template))
		edit(template["Resources"].(map[string]any))
		text, err = json.Marshal(template)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, text, 0o600))
	}
	return copied
}

// properties of the one resource whose logical id begins so.
func properties(t *testing.T, resources map[string]any, kind, prefix string) map[string]any {
	t.Helper()
	var found map[string]any
	for id, one := range resources {
		resource := one.(map[string]any)
		if resource["Type"] == kind && strings.HasPrefix(id, prefix) {
			require.Nil(t, found, "two resources of type %s begin with %s", kind, prefix)
			found = resource["Properties"].(map[string]any)
		}
	}
	require.NotNil(t, found, "no resource of type %s begins with %s", kind, prefix)
	return found
}

// started is a run, and what its outputs tell of it.
type started struct {
	*platform.Platform
	deployed *deployment.Deployment
}

// start runs an assembly until the test ends.
func start(t testing.TB, assembly string) started {
	t.Helper()
	return startIn(t, assembly, t.TempDir())
}

// programs are those that the first run has linked. Linking them anew takes ten seconds of a
// processor; a run takes those that it finds and that are what it would make.
var programs struct {
	sync.Mutex
	folder string
	kept   bool
}

// builds are the folders below a run's in which programs are linked.
var builds = []string{filepath.Join("engines", "lambda", "build"), filepath.Join("engines", "autoscaling", "build-1")}

// borrow gives a new run the programs of the first.
func borrow(t testing.TB, folder string) {
	t.Helper()
	programs.Lock()
	defer programs.Unlock()
	if _, err := os.Stat(filepath.Join(folder, "engines")); err == nil || !programs.kept {
		return
	}
	for _, build := range builds {
		copyPrograms(t, filepath.Join(programs.folder, build), filepath.Join(folder, build))
	}
}

// lend keeps the programs of a run for others.
func lend(t testing.TB, folder string) {
	t.Helper()
	programs.Lock()
	defer programs.Unlock()
	if programs.kept {
		return
	}
	for _, build := range builds {
		copyPrograms(t, filepath.Join(folder, build), filepath.Join(programs.folder, build))
	}
	programs.kept = true
}

// copyPrograms as a run has them: readable by their owner alone.
func copyPrograms(t testing.TB, from, to string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(to, 0o700))
	require.NoError(t, os.CopyFS(to, os.DirFS(from)))
	require.NoError(t, filepath.WalkDir(to, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chmod(path, 0o700))
	}))
}

// startIn is start with the run's folder.
func startIn(t testing.TB, assembly, folder string) started {
	t.Helper()
	borrow(t, folder)
	running, err := platform.Start(t.Context(), platform.Options{
		Assembly: assembly, Source: root, Dir: folder, ShortenBuffers: time.Second,
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, running.Stop(ctx))
	})
	lend(t, folder)
	deployed, err := deployment.Read(filepath.Join(folder, platform.OutputsFile))
	require.NoError(t, err)
	return started{Platform: running, deployed: deployed}
}

// output is one of the run's.
func output(t testing.TB, running started, wanted outputs.Output) string {
	t.Helper()
	value, err := running.deployed.Value(wanted)
	require.NoError(t, err)
	return value
}

func target(t testing.TB, running started, archivePrefix string) demonstration.Target {
	t.Helper()
	to, err := demonstration.TargetOf(t.Context(), running.deployed)
	require.NoError(t, err)
	to.ArchivePrefix = archivePrefix
	return to
}

// shop is the one that the shipped model was trained on.
func shop(t testing.TB) *classicmodels.Shop {
	t.Helper()
	options := classicmodels.DefaultOptions()
	options.Seed = 1
	made, err := classicmodels.New(options)
	require.NoError(t, err)
	return made
}
