// Package settle makes a program independent of how it was started, before anything else of it
// begins: a program's main package imports it for that effect. CDK starts its Node process when its
// own packages are initialised. Go initialises packages in the order of their import paths as soon
// as what they import is ready, so this one has to sort before CDK's and to import nothing that
// CDK's kernel does not.
package settle

import (
	"os"
	"syscall"
)

// umask lets everybody read what is written without a mode of its own. A stricter one would lock
// AWS Lambda's user out of packed functions, and PostgreSQL's user out of its folder; a laxer one
// would let everybody write.
const umask = 0o022

func init() { Now() }

// Now sets the umask, forgets what Node would read of options and packages, and leaves a TMPDIR in
// which nothing can be written for the system's own.
func Now() {
	syscall.Umask(umask)
	for _, variable := range []string{"NODE_OPTIONS", "NODE_PATH"} {
		_ = os.Unsetenv(variable) // fails for no name that is one
	}
	probe, err := os.MkdirTemp("", "diecast-probe-")
	if err != nil {
		_ = os.Unsetenv("TMPDIR")
		return
	}
	_ = os.Remove(probe) // at worst an empty folder stays among temporary files
}
