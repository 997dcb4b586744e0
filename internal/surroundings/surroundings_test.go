package surroundings

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestListTakesTheLastOfEachName(t *testing.T) {
	assert.Equal(t, []string{"A=2", "B=", "C=x=y"}, List(map[string]string{"C": "x=y", "A": "1"},
		map[string]string{"A": "2", "B": ""}))
	assert.NotNil(t, List(), "a process without an environment would inherit one")
}

func TestBareKeepsTheHomeApart(t *testing.T) {
	bare := Bare("/run/folder")
	assert.Equal(t, []string{"/run/folder", "/run/folder"}, []string{bare["HOME"], bare["TMPDIR"]})
}

func TestForgetTakesTheNamesThatBeginSo(t *testing.T) {
	t.Setenv("PGHOST", "elsewhere")
	t.Setenv("PGSERVICE", "")
	t.Setenv("XPG", "stays")
	Forget("PG")
	for _, name := range []string{"PGHOST", "PGSERVICE"} {
		_, set := os.LookupEnv(name)
		assert.False(t, set, name)
	}
	assert.Equal(t, "stays", os.Getenv("XPG"))
}

// hostile is what shells and Go's file of settings may say, and what a module's builds must not
// hear. Modules are to come from the user's own proxy.
func hostile(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(file, []byte(strings.Join([]string{
		"GOFLAGS=-tags=other", "GOOS=windows", "GOARCH=386", "CGO_ENABLED=1", "GOTOOLCHAIN=go1.99.0",
		"GOPROXY=https://modules.example.com", "GOPRIVATE=example.com/mine", "GOAMD64=v4",
		"GOEXPERIMENT=none-such", "GO111MODULE=off", "CC=/nowhere", "GOROOT=/nowhere", "GOFIPS140=none-such",
	}, "\n")), 0o600))
	// A shell that says where modules come from is believed before the file.
	for _, name := range []string{"GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB"} {
		t.Setenv(name, "")
		require.NoError(t, os.Unsetenv(name))
	}
	t.Setenv("GOENV", file)
	for name, value := range map[string]string{
		"GOFLAGS": "-mod=vendor -race", "GOWORK": "/nowhere/go.work", "GOEXPERIMENT": "none-such", "GOOS": "plan9",
		"GOARCH": "none-such", "GOARM64": "v99", "GOAMD64": "v99", "GO111MODULE": "off", "GODEBUG": "panicnil=1",
		"GOROOT": "/nowhere", "GOTOOLCHAIN": "go1.98.0", "GOFIPS140": "latest", "CC": "/nowhere",
		"LC_ALL":                "tr_TR.UTF-8",
		"AWS_SECRET_ACCESS_KEY": "secret", "TMPDIR": "/nowhere",
	} {
		t.Setenv(name, value)
	}
}

func TestACompilerHearsOfModulesAndOfNothingElse(t *testing.T) {
	hostile(t)
	t.Setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
	t.Setenv("SSL_CERT_FILE", "/etc/company.pem")
	t.Setenv("GONOSUMDB", "example.com/too")
	goCommand, err := exec.LookPath("go")
	require.NoError(t, err)
	folder := t.TempDir()
	environment := Compiler(folder, map[string]string{"GOARCH": "arm64"})
	got := map[string]string{}
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		got[name] = value
	}
	for name, value := range map[string]string{
		"GOPROXY": "https://modules.example.com", "GOPRIVATE": "example.com/mine", "GONOSUMDB": "example.com/too",
		"HTTPS_PROXY": "http://proxy.example.com:3128", "SSL_CERT_FILE": "/etc/company.pem", "PATH": os.Getenv("PATH"),
		"GOENV": "off", "GOFLAGS": "-mod=readonly", "GOWORK": "off", "GOARCH": "arm64", "GOARM64": "v8.0",
		"GOAMD64":     "v1",
		"CGO_ENABLED": "0", "GO111MODULE": "on", "TMPDIR": folder, "LC_ALL": "C",
	} {
		assert.Equal(t, value, got[name], name)
	}
	for _, name := range []string{"GOEXPERIMENT", "GODEBUG", "GOROOT", "GOTOOLCHAIN", "GOFIPS140", "CC",
		"AWS_SECRET_ACCESS_KEY"} {
		assert.NotContains(t, got, name)
	}
	build := exec.CommandContext(t.Context(), goCommand, "list", "-f", "{{.Name}}", ".")
	build.Env = environment
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
}

// TestGosFileOfSettingsIsReadAsTheGoCommandReadsIt compares with the go command itself.
func TestGosFileOfSettingsIsReadAsTheGoCommandReadsIt(t *testing.T) {
	const content = "GOPROXY=https://one.example.com\n# GOPROXY=https://comment.example.com\nbroken\n=\n" +
		"GOPRIVATE=a=b\nGOPROXY=https://last.example.com\nGOSUMDB=off\nGOVCS=*:off"
	config := t.TempDir()
	t.Setenv("HOME", config)
	t.Setenv("XDG_CONFIG_HOME", config)
	folder, err := os.UserConfigDir()
	require.NoError(t, err)
	usual, named := filepath.Join(folder, "go", "env"), filepath.Join(t.TempDir(), "named")
	require.NoError(t, os.MkdirAll(filepath.Dir(usual), 0o700))
	require.NoError(t, os.WriteFile(usual, []byte(content), 0o600))
	// Else a process that the go command leaves behind goes on to write into the folder.
	telemetry := filepath.Join(folder, "go", "telemetry")
	require.NoError(t, os.MkdirAll(telemetry, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(telemetry, "mode"), []byte("off"), 0o600))
	require.NoError(t, os.WriteFile(named, []byte("GONOPROXY=named.example.com\n"), 0o600))
	for _, file := range []string{"", named, "off", "/nowhere/env"} {
		t.Setenv("GOENV", file)
		t.Setenv("GOPRIVATE", "")
		t.Setenv("GOINSECURE", "said.example.com")
		asked := func(environment []string) string {
			ask := exec.CommandContext(t.Context(), "go", append([]string{"env"}, fetching...)...)
			ask.Env = environment
			output, err := ask.CombinedOutput()
			require.NoError(t, err, "%s", output)
			return string(output)
		}
		assert.Equal(t, asked(os.Environ()), asked(Compiler(t.TempDir(), nil)), "GOENV=%s", file)
	}
}
