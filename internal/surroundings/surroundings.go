// Package surroundings says what of its caller's surroundings reaches the programs that the project
// starts and the clients that it makes: what is named here, and nothing else. A shell's variables,
// its umask and the files in its user's home must change neither what is compiled nor what a run
// does. It knows neither the programs nor the clients.
//
// What a user says to the project itself, in DIECAST_* variables, is read where it is used. Who
// deploys to AWS logs in with credentials of the shell: a client of a deployment on AWS takes them,
// and only that one.
package surroundings

import (
	"maps"
	"os"
	"slices"
	"strings"
)

// Bare is the environment that every process of the laptop begins with. Home and temporary files
// are in a folder of its own: in the user's home are settings of the AWS SDKs, of databases and of
// interpreters.
func Bare(folder string) map[string]string {
	return map[string]string{
		"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC", "HOME": folder, "TMPDIR": folder,
	}
}

// List is variables as NAME=value, sorted. Where layers have the same name the last one counts.
func List(layers ...map[string]string) []string {
	merged := map[string]string{}
	for _, layer := range layers {
		maps.Copy(merged, layer)
	}
	listed := make([]string, 0, len(merged))
	for _, name := range slices.Sorted(maps.Keys(merged)) {
		listed = append(listed, name+"="+merged[name])
	}
	return listed
}

// passed are the caller's variables of these names, as far as they are set.
func passed(names []string) map[string]string {
	found := map[string]string{}
	for _, name := range names {
		if value, set := os.LookupEnv(name); set {
			found[name] = value
		}
	}
	return found
}

// Forget takes variables out of this process's environment, by the beginning of their names: those
// that a client library would read unasked.
func Forget(prefixes ...string) {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			_ = os.Unsetenv(name) // fails for no name that is there
		}
	}
}
