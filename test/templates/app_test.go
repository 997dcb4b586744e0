package templates

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestApp_badConfigurationEndsInOneMessage runs the app as the CDK CLI does.
func TestApp_badConfigurationEndsInOneMessage(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "app")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = "../.."
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)

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
	for _, want := range []string{"profile=lavish", "network.cider", "did you mean network.cidr?", "network.cidr=10.0.0.0/28", "streaming.shards=none", "vectors.storageGiB=1"} {
		assert.Contains(t, message, want)
	}
	assert.NotContains(t, message, "a-flag")
	assert.NotContains(t, message, "goroutine", "a stack trace helps no user")
	assert.Empty(t, stdout.String())
	assert.NoFileExists(t, filepath.Join(outdir, "manifest.json"), "nothing half-written")
}
