package surroundings

import (
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
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

// finding is where programs, the user's home and Go's caches are.
var finding = []string{"PATH", "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"}

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
func Compiler(folder string, stated map[string]string) []string {
	return List(passed(reaching), passed(finding), written(fetching), said(fetching), shaping, map[string]string{
		"GOENV": "off", // the file of settings, of which all that counts has been read
		"TZ":    "UTC", "LC_ALL": "C", "TMPDIR": folder,
	}, stated)
}

// said are the caller's variables of these names that are not empty. To the go command an empty one
// says nothing.
func said(names []string) map[string]string {
	found := passed(names)
	maps.DeleteFunc(found, func(_, value string) bool { return value == "" })
	return found
}

// written is what Go's file of settings says of these names. It is read here, as the go command
// reads it, and not asked of the go command, which refuses every question where another line of the
// file is wrong. Like there, a file that cannot be read says nothing.
// https://pkg.go.dev/cmd/go#hdr-Environment_variables
func written(names []string) map[string]string {
	file := os.Getenv("GOENV")
	if file == "off" {
		return nil
	}
	if file == "" {
		folder, err := os.UserConfigDir()
		if err != nil {
			return nil
		}
		file = filepath.Join(folder, "go", "env")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	found := map[string]string{}
	for line := range strings.Lines(string(content)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if slices.Contains(names, name) {
			found[name] = value
		}
	}
	return found
}
