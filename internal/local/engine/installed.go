package engine

import (
	"context"
	"fmt"
	"os/exec"

	awsapi "diecast/internal/local/aws/engine"
	"diecast/internal/local/installed"
)

// nodePackage looks for an npm package and what runs it.
func nodePackage(name string) func(context.Context) error {
	return func(context.Context) error {
		_, err := awsapi.Node(name, nil)
		return err
	}
}

// pythonModule looks for a Python module and what runs it. The module is found, not executed.
func pythonModule(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		python, err := installed.Python()
		if err != nil {
			return err
		}
		find := "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
		if err := exec.CommandContext(ctx, python, "-I", "-c", find, name).Run(); err != nil {
			return fmt.Errorf("the Python package %s is %w (%s cannot import it: %w)",
				name, installed.ErrNotInstalled, python, err)
		}
		return nil
	}
}
