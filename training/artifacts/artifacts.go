// Package shipped holds the model that Diecast is deployed with: trained by `make train` on the
// generated sample at scale 1, and replaced by the first model that the user trains.
//
// It must not know how a model is verified, loaded or evaluated.
package shipped

import (
	"embed"
	"fmt"
	"io/fs"
	"path"

	"diecast/internal/models"
)

//go:embed models
var files embed.FS

// Files hold models/<model_version>/, the one shipped model.
func Files() fs.FS { return files }

// Model is the folder of the shipped model and its version.
func Model() (folder fs.FS, version string, err error) {
	entries, err := fs.ReadDir(files, path.Clean(models.Prefix))
	if err != nil {
		return nil, "", fmt.Errorf("reading the shipped models: %w", err)
	}
	if len(entries) != 1 || !entries[0].IsDir() {
		return nil, "", fmt.Errorf("training/artifacts/models holds %d entries, want the folder of one model: run "+
			"`make train`", len(entries))
	}
	version = entries[0].Name()
	folder, err = fs.Sub(files, models.Folder(version))
	if err != nil {
		return nil, "", fmt.Errorf("reading the shipped model %s: %w", version, err)
	}
	return folder, version, nil
}
