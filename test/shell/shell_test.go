// Package shell holds the Makefile to what it promises in any shell: a caller's variables reach
// what it runs only where they are named. It knows nothing of what the targets do.
package shell

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

// hostile is what shells say to compilers, interpreters, clients and to git.
var hostile = map[string]string{
	"GOFLAGS": "-mod=vendor -tags=other", "GOWORK": "/nowhere/go.work", "GOOS": "windows", "GOARCH": "386",
	"GOEXPERIMENT": "none-such", "GOROOT": "/nowhere", "GODEBUG": "panicnil=1", "CGO_ENABLED": "1", "CC": "/nowhere",
	"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere", "PYTHONSTARTUP": "/nowhere", "VIRTUAL_ENV": "/nowhere",
	"PIP_TARGET": "/nowhere", "NODE_OPTIONS": "--require /nowhere", "NODE_PATH": "/nowhere", "NODE_ENV": "production",
	"npm_config_omit": "dev", "JAVA_TOOL_OPTIONS": "-javaagent:/nowhere", "_JAVA_OPTIONS": "-javaagent:/nowhere",
	"SPARK_HOME": "/nowhere", "BASH_ENV": "/nowhere", "GIT_DIR": "/nowhere", "AWS_PROFILE": "missing",
	"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_SESSION_TOKEN": "token", "PGSERVICE": "missing",
	"MYSQL_HOME": "/nowhere",
	"LC_ALL":     "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu", "TMPDIR": "/nowhere",
}

// kept is how a user's network is reached and trusted, and where packages come from.
var kept = map[string]string{
	"HTTPS_PROXY": "http://proxy.example.com:3128", "no_proxy": "example.com", "SSL_CERT_FILE": "/etc/company.pem",
	"NODE_EXTRA_CA_CERTS": "/etc/company.pem", "PIP_CERT": "/etc/company.pem",
	"PIP_INDEX_URL": "https://example.com/pip",
	"GOPROXY":       "off", "npm_config_registry": "https://example.com/npm",
	"MAVEN_OPTS": "-Dhttps.proxyHost=example.com", "DIECAST_CHROMIUM": "/usr/bin/chromium",
}

// settingsOfGo are what Go's file of settings says: of compilers, and of modules.
const settingsOfGo = "GOEXPERIMENT=none-such\nGO111MODULE=off\nCGO_ENABLED=1\nCC=/nowhere\nGOAMD64=none-such\n" +
	"GOROOT=/nowhere\nGOFLAGS=-tags=other\nGOOS=windows\nGOPROXY=https://file.example.com\n" +
	"GOPRIVATE=example.com/before\nGOPRIVATE=example.com/$mine,example.com/a#b\n"

// unstated are names that make hands on from nowhere: Go's file says the first two of compilers,
// and nothing of the third.
var unstated = []string{"GO111MODULE", "GOAMD64", "GONOSUMDB"}

// run is make in a hostile shell. It looks at the Makefile itself before, so that go test knows
// what its cached result depends on.
func run(t *testing.T, arguments ...string) string {
	t.Helper()
	_, err := os.Stat(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), "make", arguments...)
	// What a shell says comes before Go's file.
	command.Dir, command.Env = root, shellWithout(append(unstated, "GOPRIVATE")...)
	settings := filepath.Join(t.TempDir(), "it's Go's file")
	require.NoError(t, os.WriteFile(settings, []byte(settingsOfGo), 0o600))
	for _, variables := range []map[string]string{hostile, kept, {"GOENV": settings}} {
		for name, value := range variables {
			command.Env = append(command.Env, name+"="+value)
		}
	}
	output, err := command.Output()
	require.NoError(t, err, "%s", output)
	return string(output)
}

func TestTheMakefilePassesWhatItNames(t *testing.T) {
	seen := map[string]string{}
	for line := range strings.Lines(run(t, "--silent", "--eval", "seen: ; @env", "seen")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		seen[name] = value
	}
	stated := []string{"GOFLAGS", "GOWORK", "GOOS", "GOARCH", "LC_ALL"}
	for name, value := range hostile {
		if slices.Contains(stated, name) {
			assert.NotEqual(t, value, seen[name], name)
		} else {
			assert.NotContains(t, seen, name)
		}
	}
	for name, value := range kept {
		assert.Equal(t, value, seen[name], name)
	}
	assert.Equal(t, "off", seen["GOENV"])
	assert.Equal(t, "example.com/$mine,example.com/a#b", seen["GOPRIVATE"], "of Go's file")
	for _, name := range unstated {
		assert.NotContains(t, seen, name)
	}
}

func TestTheMakefileKeepsAGoodTMPDIR(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "with a space")
	require.NoError(t, os.Mkdir(folder, 0o700))
	command := exec.CommandContext(t.Context(), "make", "--silent", "--eval", "seen: ; @echo \"$$TMPDIR\"", "seen")
	command.Dir, command.Env = root, append(os.Environ(), "TMPDIR="+folder)
	output, err := command.Output()
	require.NoError(t, err)
	assert.Equal(t, folder+"\n", string(output))
}

// A folder that make cannot name is refused by a sentence before anything runs; a checkout may lie
// in such a folder.
func TestTheMakefileRefusesAFolderThatMakeCannotName(t *testing.T) {
	dry := func(variables []string, arguments ...string) (string, error) {
		command := exec.CommandContext(t.Context(), "make", append(arguments, "--dry-run")...)
		command.Dir, command.Env = root, append(withoutSettings(), variables...)
		output, err := command.CombinedOutput()
		return string(output), err
	}
	for _, odd := range []string{"/tmp/a b", "/tmp/it's", `/tmp/a"b`, "/tmp/a$HOME", "/tmp/a#b", "/tmp/a:b", "/tmp/a%b",
		"/tmp/a;b", `/tmp/a\b`, "/tmp/a*", "/tmp/a\tb", "/tmp/a(b)"} {
		for _, variable := range []string{"HOME", "XDG_CACHE_HOME", "DIECAST_CACHE", "DIECAST_PYTHON"} {
			output, err := dry([]string{variable + "=" + odd}, "demo")
			require.Error(t, err, "%s=%s", variable, odd)
			assert.Contains(t, output, odd, variable)
			assert.Contains(t, output, "has a sign in its name that make cannot handle", "%s=%s", variable, odd)
			assert.NotContains(t, output, "synth", "%s=%s", variable, odd)
		}
		output, err := dry([]string{"HOME=" + odd}, "help")
		require.NoError(t, err, "%s: %s", odd, output)
		if !strings.Contains(odd, "$") { // make reads it itself on its command line
			output, err := dry(nil, "DIECAST_CACHE="+odd, "demo")
			require.Error(t, err, "%s", odd)
			assert.Contains(t, output, "has a sign in its name that make cannot handle", odd)
		}
	}
	for _, fine := range []string{"/tmp/é_1.2+3@4,5~6-7", "/tmp"} {
		output, err := dry([]string{"HOME=" + fine}, "bin/diecast")
		require.NoError(t, err, "%s", output)
		assert.Contains(t, output, "go build")
	}
}

// A variable that is set to nothing is as good as none: a line that begins with it would go on with
// the dash of an option, by which make ignores that the line fails.
func TestTheMakefileTakesNothingForNothing(t *testing.T) {
	names := []string{"DIECAST_CACHE", "DIECAST_PYTHON", "DIECAST_GLUE_PYTHON", "DIECAST_TRAINING_PYTHON"}
	var nothing []string
	for _, name := range names {
		nothing = append(nothing, name+"=")
	}
	for _, stated := range []struct{ arguments, environment []string }{{nothing, nil}, {nil, nothing}} {
		seen := seenBy(t, stated.arguments, append(stated.environment, "XDG_CACHE_HOME=/tmp/kept")...)
		for _, name := range names {
			assert.Regexp(t, "(?m)^"+name+"=/tmp/kept/diecast", seen)
		}
	}
}

// Recipes go into other folders.
func TestTheMakefileNamesAFolderFromTheRoot(t *testing.T) {
	checkout, err := filepath.Abs(root)
	require.NoError(t, err)
	for _, variable := range []string{"DIECAST_CACHE=here", "XDG_CACHE_HOME=here"} {
		assert.Regexp(t, "(?m)^DIECAST_GLUE_PYTHON="+regexp.QuoteMeta(checkout)+"/here/", seenBy(t, nil, variable))
		assert.Regexp(t, "(?m)^DIECAST_GLUE_PYTHON="+regexp.QuoteMeta(checkout)+"/here/",
			seenBy(t, []string{variable}))
	}
}

// seenBy are the variables of a recipe, by lines, of a make with these arguments and variables.
func seenBy(t *testing.T, arguments []string, variables ...string) string {
	t.Helper()
	_, err := os.Stat(filepath.Join(root, "Makefile")) // as in run
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), "make",
		append(arguments, "--silent", "--eval", "seen: ; @env", "seen")...)
	command.Dir, command.Env = root, append(withoutSettings(), variables...)
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return string(output)
}

// withoutSettings are this process's variables without what says where Diecast lies, and without
// those by which a make hands on its own arguments.
func withoutSettings() []string {
	return shellWithout("DIECAST_CACHE", "DIECAST_PYTHON", "DIECAST_GLUE_PYTHON", "DIECAST_TRAINING_PYTHON",
		"XDG_CACHE_HOME", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
}

// shellWithout are this process's variables but for those of these names.
func shellWithout(names ...string) []string {
	return slices.DeleteFunc(os.Environ(), func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return slices.Contains(names, name)
	})
}

// The command line is built for this machine whatever a shell says of others.
func TestTheMakefileBuildsInAnyShell(t *testing.T) {
	run(t, "--silent", "bin/diecast")
	output, err := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "diecast"), "--help").CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Contains(t, string(output), "Operate the Diecast platform")
}
