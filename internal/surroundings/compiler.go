package surroundings

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"runtime"
)

// fetching is what a user may say to the go command: where it keeps modules and results, and how
// modules are fetched. None of it changes what is compiled, because go.sum holds what is fetched.
var fetching = []string{
	"GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GONOPROXY", "GOPRIVATE", "GOSUMDB", "GONOSUMDB", "GOINSECURE",
	"GOAUTH", "GOVCS",
}

// reaching is how a go command that fetches a module comes out of the user's network, and whom it
// trusts there. A build whose modules are there uses none of it.
var reaching = []string{
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"NETRC", "SSH_AUTH_SOCK",
}

// finding is where programs, the user's home and Go's file of settings are.
var finding = []string{"PATH", "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "GOENV"}

// shaping is what would change what is compiled if it came from elsewhere. The values are Go's
// defaults, and the oldest processors that AWS runs, so that no default of a newer Go shuts one
// out. None is empty: what is empty is looked for in files.
var shaping = map[string]string{
	"GOFLAGS": "-mod=readonly", "GOWORK": "off", "CGO_ENABLED": "0", "GO111MODULE": "on",
	"GOOS": runtime.GOOS, "GOARCH": runtime.GOARCH, "GOARM64": "v8.0", "GOAMD64": "v1",
}

// Compiler is the whole environment of a go command that compiles. What the user has said of
// modules, in variables or in Go's file of them, is kept; what shapes a program is stated, and left
// to Go's defaults where it is not. Folder takes temporary files.
func Compiler(ctx context.Context, goCommand, folder string, stated map[string]string) ([]string, error) {
	var output, problem bytes.Buffer
	ask := exec.CommandContext(ctx, goCommand, append([]string{"env", "-json"}, fetching...)...)
	ask.Stdout, ask.Stderr = &output, &problem
	ask.Env = List(passed(fetching), passed(finding), shaping, map[string]string{
		"GOTOOLCHAIN": "local", // whatever go.mod asks for
		"TMPDIR":      folder,
	})
	if err := ask.Run(); err != nil {
		return nil, fmt.Errorf("ask the go command for its settings: %w: %s", err, bytes.TrimSpace(problem.Bytes()))
	}
	settings := map[string]string{}
	if err := json.Unmarshal(output.Bytes(), &settings); err != nil {
		return nil, fmt.Errorf("read the go command's settings: %w", err)
	}
	return List(passed(reaching), passed(finding), settings, shaping, map[string]string{
		"GOENV": "off", // the file of settings, of which all that counts was asked for
		"TZ":    "UTC", "LC_ALL": "C", "TMPDIR": folder,
	}, stated), nil
}
