package templates

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/test/prebuilt"
)

// TestApp_badConfigurationEndsInOneMessage runs the app as the CDK CLI does.
func TestApp_badConfigurationEndsInOneMessage(t *testing.T) {
	binary := buildApp(t)
	context, err := json.Marshal(map[string]any{
		"profile":              "lavish",
		"network.cider":        "10.0.0.0/16",
		"network.cidr":         "10.0.0.0/28",
		"streaming.shards":     "none",
		"vectors.storageGiB":   1.0,
		"@aws-cdk/core:a-flag": true,
	})
	require.NoError(t, err)
	outdir := filepath.Join(t.TempDir(), "cdk.out")
	app := exec.Command(binary)
	app.Env = append(os.Environ(), "CDK_CONTEXT_JSON="+string(context), "CDK_OUTDIR="+outdir)
	var stdout, stderr strings.Builder
	app.Stdout, app.Stderr = &stdout, &stderr
	err = app.Run()

	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 1, exit.ExitCode())
	message := stderr.String()
	assert.Contains(t, message, "diecast: 5 configuration problems:")
	for _, want := range []string{"profile=lavish", "network.cider", "did you mean network.cidr?",
		"network.cidr=10.0.0.0/28", "streaming.shards=none", "vectors.storageGiB=1"} {
		assert.Contains(t, message, want)
	}
	assert.NotContains(t, message, "a-flag")
	assert.NotContains(t, message, "goroutine", "a stack trace helps no user")
	assert.Empty(t, stdout.String())
	assert.NoFileExists(t, filepath.Join(outdir, "manifest.json"), "nothing half-written")
}

// TestApp_saysWhoIsNotLetIn: on stderr, where it stops nothing, and not as a warning of CDK, on
// which cdk synth --strict fails.
func TestApp_saysWhoIsNotLetIn(t *testing.T) {
	binary := buildApp(t)
	for allowed, want := range map[string]string{
		"": "diecast: the load balancer will admit nobody: set web.allowedCidrs to your own addresses, as in " +
			"-c web.allowedCidrs=198.51.100.7/32",
		"0.0.0.0/0": "diecast: web.allowedCidrs=0.0.0.0/0 admits the world: pages on sales and customers are withheld",
	} {
		settings := cdkContext(t)
		settings["web.allowedCidrs"] = allowed
		settings["aws:cdk:bundling-stacks"] = []string{}
		context, err := json.Marshal(settings)
		require.NoError(t, err)
		outdir := filepath.Join(t.TempDir(), "cdk.out")
		app := exec.Command(binary)
		app.Env = append(os.Environ(), "CDK_CONTEXT_JSON="+string(context), "CDK_OUTDIR="+outdir)
		var stdout, stderr strings.Builder
		app.Stdout, app.Stderr = &stdout, &stderr
		require.NoError(t, app.Run(), "%s", &stderr)
		assert.Contains(t, stderr.String(), want)
		assert.Empty(t, stdout.String())
		assert.Empty(t, findings(t, filepath.Join(outdir, "Web.metadata.json")))
	}
}

// TestApp_writesTheSameInAnyShell: templates and assets, functions among them, are those of whoever
// deploys next, and AWS's users can read what is packed.
func TestApp_writesTheSameInAnyShell(t *testing.T) {
	binary := buildApp(t)
	context, err := json.Marshal(cdkContext(t))
	require.NoError(t, err)
	written := func(umask string, shell ...string) map[string]string {
		t.Helper()
		outdir := filepath.Join(t.TempDir(), "cdk.out")
		app := exec.Command("/bin/sh", "-c", "umask "+umask+`; exec "$0"`, binary)
		app.Dir = "../.."
		app.Env = append(os.Environ(), "CDK_CONTEXT_JSON="+string(context), "CDK_OUTDIR="+outdir,
			"CDK_VALIDATION=false")
		app.Env = append(app.Env, shell...)
		output, err := app.CombinedOutput()
		require.NoError(t, err, "%s", output)
		files := map[string]string{}
		require.NoError(t, filepath.WalkDir(outdir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			name, _ := filepath.Rel(outdir, path)
			if !strings.HasPrefix(name, "asset.") && !strings.HasSuffix(name, ".template.json") {
				return nil // of this machine
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			content, err := os.ReadFile(path)
			sum := sha256.Sum256(content)
			files[name] = info.Mode().String() + " " + hex.EncodeToString(sum[:])
			assert.EqualValues(t, 0o444, info.Mode().Perm()&0o444, "%s: everybody reads it", name)
			return err
		}))
		return files
	}
	clean := written("022")
	assert.Greater(t, len(clean), 20)
	settings := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(settings, []byte("GOFLAGS=-tags=other\nGOARM64=v9.0\n"+
		"GOEXPERIMENT=none-such\nGO111MODULE=off\nCC=/nowhere\nGOAMD64=v4\nGOROOT=/nowhere\n"), 0o600))
	assert.Equal(t, clean, written("077",
		"GOENV="+settings, "GOFLAGS=-race", "GOWORK=/nowhere", "GOOS=windows", "GOARCH=386", "CGO_ENABLED=1",
		"GOEXPERIMENT=rangefunc", "GOTOOLCHAIN=go1.98.0", "GODEBUG=panicnil=1", "GOROOT=/nowhere", "TMPDIR=/nowhere",
		"NODE_OPTIONS=--require /nowhere", "NODE_PATH=/nowhere", "LC_ALL=tr_TR.UTF-8", "TZ=Asia/Kathmandu",
		"AWS_PROFILE=missing", "AWS_REGION=mars-1", "AWS_ENDPOINT_URL=http://127.0.0.1:1",
		"HTTPS_PROXY=http://127.0.0.1:1", "PYTHONHOME=/nowhere", "PGSERVICE=missing"))
}

// linkedApp is linked once for all tests: CDK makes that cost seconds of a processor.
var linkedApp = sync.OnceValues(func() (string, error) { return prebuilt.App("../..", outputs) })

func buildApp(t *testing.T) string {
	t.Helper()
	app, err := linkedApp()
	require.NoError(t, err)
	return app
}

// kernelScript is a stand-in for jsii's Node process: it answers a request with the words in place
// of %s, and says its last ones when it is asked to end. Like Node it ends a while after its last
// output; jsii's two waits meet only then.
const kernelScript = `#!/bin/sh
echo '{"hello":"@jsii/runtime@1.140.0"}'
while read -r request; do
	case $request in
	*'"exit"'*) echo "last words" >&2; exec >&- 2>&-; sleep 0.02; exit 0 ;;
	*) %s ;;
	esac
done
`

// runWith runs the app with a stand-in for jsii's kernel, and returns its exit code and stderr.
func runWith(t *testing.T, binary, answer string) (int, string) {
	t.Helper()
	node := filepath.Join(t.TempDir(), "node")
	require.NoError(t, os.WriteFile(node, fmt.Appendf(nil, kernelScript, answer), 0o700))
	app := exec.Command(binary)
	app.Dir = t.TempDir()
	app.Env = append(os.Environ(), "JSII_NODE="+node)
	var stderr strings.Builder
	app.Stderr = &stderr
	_ = app.Run()
	return app.ProcessState.ExitCode(), stderr.String()
}

// TestApp_endOfTheKernel: jsii waits twice for its kernel, and in some runs says that the second
// wait found no process. That is kept from the user, in every run, and nothing else is.
func TestApp_endOfTheKernel(t *testing.T) {
	binary := buildApp(t)
	passedOn := 0
	for range 40 {
		code, stderr := runWith(t, binary, `echo '{"error":"planted"}'`)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "diecast: planted")
		require.NotContains(t, stderr, "exited abnormally")
		if strings.Contains(stderr, "last words") {
			passedOn++
		}
	}
	// Not 40: jsii may close the kernel's stderr before it has read all of it.
	assert.Positive(t, passedOn, "what the kernel says at its end is for the user")
	code, stderr := runWith(t, binary, "kill -9 $$")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "no response received from child process")
}
