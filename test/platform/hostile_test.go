package platform

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/installed"
	"diecast/internal/surroundings"
)

// goSettings are the go command's own of this machine, so that a hostile shell does not make it
// compile everything anew or fetch modules.
func goSettings(t *testing.T) map[string]string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", "env", "-json", "GOCACHE", "GOMODCACHE").Output()
	require.NoError(t, err)
	settings := map[string]string{}
	require.NoError(t, json.Unmarshal(output, &settings))
	return settings
}

// writeAll writes files below a folder.
func writeAll(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
}

// hostileShell is the shell and the home of somebody who does everything else on the same machine,
// and whose settings are broken, or lead elsewhere. What is asked of elsewhere is counted.
func hostileShell(t *testing.T) (environment []string, elsewhere *atomic.Int64) {
	t.Helper()
	elsewhere = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(server.Close)
	home := t.TempDir()
	writeAll(t, home, map[string]string{
		".aws/config": "[profile broken\nendpoint_url = " + server.URL, ".aws/credentials": "= = =",
		".my.cnf": "[client]\nhost=10.0.0.1\n[mysqld]\nno-such-option\n", ".mylogin.cnf": "broken",
		".pgpass": "*:*:*:*:wrong", ".pg_service.conf": "[other]\nhost=10.0.0.1\n",
		".postgresql/root.crt": "broken", ".postgresql/postgresql.crt": "broken",
		".postgresql/postgresql.key": "broken",
		".config/go/env": "GOFLAGS=-tags=other\nGOOS=windows\nCGO_ENABLED=1\nGOWORK=/nowhere/go.work\n" +
			"GOEXPERIMENT=none-such\nGO111MODULE=off\nCC=/nowhere\nGOAMD64=v4\nGOROOT=/nowhere\n",
		".npmrc":        "registry=" + server.URL + "\nnode-options=--require /nowhere\n",
		".jupyter/x.py": "", "python/sitecustomize.py": "raise SystemExit('sitecustomize of the user')",
		"python/moto/__init__.py": "raise SystemExit('moto of the user')", "node/preload.js": "process.exit(7)",
		"spark/conf/spark-defaults.conf": "spark.master spark://10.0.0.1:7077\n",
	})
	temporary := filepath.Join(home, "temporary files "+strings.Repeat("of a long name ", 8))
	require.NoError(t, os.Mkdir(temporary, 0o700))
	cache, err := installed.Folder()
	require.NoError(t, err)
	source, err := filepath.Abs(root)
	require.NoError(t, err)
	own := map[string]string{
		"PATH": os.Getenv("PATH"), "DIECAST_CACHE": cache,
		"DIECAST_NODE_MODULES": filepath.Join(source, "node_modules"),
	}
	for _, name := range []string{
		"DIECAST_PYTHON", "DIECAST_GLUE_PYTHON", "DIECAST_POSTGRES_BIN", "DIECAST_MARIADB_BIN", "JAVA_HOME",
	} {
		if value := os.Getenv(name); value != "" {
			own[name] = value
		}
	}
	return surroundings.List(map[string]string{
		"HOME": home, "TMPDIR": temporary, "XDG_CONFIG_HOME": filepath.Join(home, ".config"),
		"GOFLAGS": "-mod=vendor -race -trimpath=false", "GOWORK": "/nowhere/go.work", "GOEXPERIMENT": "none-such",
		"GOOS": "plan9", "GOARCH": "386", "GOAMD64": "v4", "GOARM64": "v9.5", "CGO_ENABLED": "1", "GOROOT": "/nowhere",
		"GOTOOLCHAIN": "go1.98.0", "GODEBUG": "netdns=none-such,http2client=0", "GO111MODULE": "off", "CC": "/nowhere",
		"PGHOST": "10.0.0.1", "PGPORT": "no port", "PGSSLMODE": "verify-full", "PGSERVICE": "missing",
		"PGOPTIONS": "-c search_path=other", "PGPASSFILE": "/nowhere", "PGUSER": "somebody", "PGDATABASE": "other",
		"PGCONNECT_TIMEOUT": "soon", "PGTARGETSESSIONATTRS": "standby", "PGDATA": "/nowhere",
		"MYSQL_HOST": "10.0.0.1", "MYSQL_PWD": "wrong", "MYSQL_TCP_PORT": "1", "MYSQL_UNIX_PORT": "/nowhere",
		"MYSQL_HOME": home, "MYSQL_GROUP_SUFFIX": "_other", "MARIADB_HOME": home,
		"AWS_REGION": "mars-1", "AWS_DEFAULT_REGION": "mars-2", "AWS_PROFILE": "missing",
		"AWS_DEFAULT_PROFILE": "missing",
		"AWS_ACCESS_KEY_ID":   "AKIAWRONG", "AWS_SECRET_ACCESS_KEY": "wrong", "AWS_SESSION_TOKEN": "wrong",
		"AWS_ENDPOINT_URL": server.URL, "AWS_ENDPOINT_URL_S3": server.URL, "AWS_ENDPOINT_URL_KINESIS": server.URL,
		"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_USE_FIPS_ENDPOINT": "true",
		"AWS_USE_DUALSTACK_ENDPOINT": "true",
		"AWS_CA_BUNDLE":              "/nowhere", "AWS_CONFIG_FILE": filepath.Join(home, ".aws/config"),
		"AWS_MAX_ATTEMPTS": "none",
		"AWS_ROLE_ARN":     "arn:aws:iam::1:role/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.URL, "AWS_EC2_METADATA_SERVICE_ENDPOINT": server.URL,
		"AWS_LAMBDA_FUNCTION_NAME": "other", "AWS_LAMBDA_RUNTIME_API": "10.0.0.1", "AWS_EXECUTION_ENV": "other",
		"PYTHONPATH": filepath.Join(home, "python"), "PYTHONHOME": "/nowhere", "PYTHONSTARTUP": "/nowhere",
		"PYTHONINSPECT": "1", "VIRTUAL_ENV": "/nowhere", "CONDA_PREFIX": "/nowhere", "PYTHONWARNINGS": "error",
		"PYSPARK_PYTHON": "/nowhere", "PYSPARK_SUBMIT_ARGS": "--master spark://10.0.0.1:7077", "SPARK_HOME": "/nowhere",
		"SPARK_CONF_DIR": filepath.Join(home, "spark", "conf"), "SPARK_LOCAL_DIRS": "/nowhere",
		"HADOOP_CONF_DIR":   "/nowhere",
		"JAVA_TOOL_OPTIONS": "-javaagent:/nowhere.jar", "_JAVA_OPTIONS": "-Xmx1k", "JDK_JAVA_OPTIONS": "-Xmx1k",
		"CLASSPATH": "/nowhere", "NODE_OPTIONS": "--require " + filepath.Join(home, "node", "preload.js"),
		"NODE_PATH": "/nowhere", "NODE_ENV": "production", "NODE_EXTRA_CA_CERTS": "/nowhere",
		"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "LANGUAGE": "tr", "TZ": "Asia/Kathmandu",
		"HTTP_PROXY": server.URL, "HTTPS_PROXY": server.URL, "ALL_PROXY": server.URL, "http_proxy": server.URL,
		"https_proxy": server.URL, "all_proxy": server.URL, "SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": "/nowhere",
		"LD_LIBRARY_PATH": "/nowhere", "BASH_ENV": "/nowhere", "ENV": "/nowhere", "CDPATH": "/", "IFS": "x",
		"GIT_DIR": "/nowhere", "MOTO_ACCOUNT_ID": "1", "DATABASE_HOST": "10.0.0.1", "WEB_PORT": "1",
	}, goSettings(t), own), elsewhere
}

// What a shell, a home, a umask and a working directory say of other things changes nothing of a
// run.
func TestDemonstrationInHostileSurroundings(t *testing.T) {
	source, err := filepath.Abs(root)
	require.NoError(t, err)
	command := buildCommand(t)
	environment, elsewhere := hostileShell(t)
	const umask = "000" // the most open: what a run starts has a umask of its own
	folder := filepath.Join(t.TempDir(), "a folder with spaces, and ümläuts")
	require.NoError(t, os.Mkdir(folder, 0o755))
	run := exec.CommandContext(t.Context(), "/bin/sh", "-c", "umask "+umask+`; exec "$0" "$@"`, command,
		"local", "run", "--assembly", synthesized, "--source", source,
		"--buffers", "1s", "--events", "40", "--json")
	run.Dir, run.Env = folder, environment
	var said strings.Builder
	run.Stderr = &said
	output, err := run.Output()
	require.NoError(t, err, "%s\n%s", output, said.String())
	var report struct {
		Sent, Broken, Archived, Delivered, Degraded int
		Batch                                       struct {
			Rules       int
			RulesPassed int `json:"rules_passed"`
		}
		Pages struct{ Lines int }
	}
	require.NoError(t, json.Unmarshal(output, &report), "%s", output)
	assert.Equal(t, 40, report.Sent)
	assert.Equal(t, report.Sent-report.Broken, report.Archived)
	assert.Zero(t, report.Degraded)
	assert.Positive(t, report.Delivered)
	assert.Positive(t, report.Batch.Rules)
	assert.Equal(t, report.Batch.Rules, report.Batch.RulesPassed)
	assert.Positive(t, report.Pages.Lines)
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Type()&os.ModeSymlink == 0 {
			assert.Zero(t, info.Mode().Perm()&0o002, "everybody may write %s", path)
		}
		return err
	}))
	assert.Zero(t, elsewhere.Load(), "somebody was asked who has no part in it")
}
