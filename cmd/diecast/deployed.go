package main

import (
	"fmt"
	"path/filepath"

	"diecast/internal/deployment"
	"diecast/internal/local/runfolder"
)

// readDeployment reads a file of outputs. That of a run which was killed is refused: by now
// somebody else may listen where it says that the run's engines do.
func readDeployment(file string) (*deployment.Deployment, error) {
	left, err := runfolder.Left(filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("file of outputs %s: %w", file, err)
	}
	if left {
		return nil, fmt.Errorf("file of outputs %s: that run is not up; `make up` starts one, and `diecast local "+
			"status` says which are up", file)
	}
	return deployment.Read(file)
}
