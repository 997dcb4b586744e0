// Package chromium finds a browser for the tests of the pages: that of DIECAST_CHROMIUM, else one
// that the machine has, else the one inside the npm package @sparticuz/chromium, which brings its
// own libraries and fonts. The package knows nothing of what is looked at.
package chromium

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/andybalholm/brotli"

	"diecast/internal/local/installed"
)

// Browser that can be started.
type Browser struct {
	// Path of the program.
	Path string
	// Environment are variables, NAME=value, that the program needs besides the usual ones.
	Environment []string
}

// names of the program on machines that have it.
var names = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless_shell"}

const program = "chromium"

// Find the browser. Modules is the folder node_modules. The first to need it unpacks npm's browser,
// 200 MB, into the cache folder. The error is an installed.ErrNotInstalled where there is none.
func Find(modules string) (Browser, error) {
	if path := os.Getenv("DIECAST_CHROMIUM"); path != "" {
		found, err := exec.LookPath(path)
		if err != nil {
			return Browser{}, installed.Missing("Chromium", "DIECAST_CHROMIUM="+path+" is no program")
		}
		return Browser{Path: found}, nil
	}
	for _, name := range names {
		if found, err := exec.LookPath(name); err == nil {
			return Browser{Path: found}, nil
		}
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return Browser{}, installed.Missing("Chromium", "no program in PATH, and npm's is for Linux on x86-64 only"+
			"; DIECAST_CHROMIUM may name another")
	}
	return packaged(modules)
}

// packaged is npm's browser.
func packaged(modules string) (Browser, error) {
	pack := filepath.Join(modules, "@sparticuz", "chromium")
	text, err := os.ReadFile(filepath.Join(pack, "package.json"))
	if errors.Is(err, os.ErrNotExist) {
		return Browser{}, installed.Missing("Chromium", "no program in PATH, nothing in "+pack+
			"; DIECAST_CHROMIUM may name another")
	}
	if err != nil {
		return Browser{}, err
	}
	var about struct{ Version string }
	if json.Unmarshal(text, &about) != nil || about.Version == "" || strings.Contains(about.Version, "/") {
		return Browser{}, fmt.Errorf("%s: no version in it", filepath.Join(pack, "package.json"))
	}
	cache, err := installed.Folder()
	if err != nil {
		return Browser{}, err
	}
	folder := filepath.Join(cache, "chromium-"+about.Version)
	if err := unpack(filepath.Join(pack, "bin"), folder); err != nil {
		return Browser{}, fmt.Errorf("unpack the browser of %s: %w", pack, err)
	}
	return Browser{Path: filepath.Join(folder, program), Environment: []string{
		"LD_LIBRARY_PATH=" + filepath.Join(folder, "lib"), "FONTCONFIG_PATH=" + folder,
	}}, nil
}

// unpack makes the folder whole, or not at all: other processes may do the same at the same time.
func unpack(from, folder string) (err error) {
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(folder), "chromium-unpacking-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(fresh)) }()
	packed, err := filepath.Glob(filepath.Join(from, "*.br"))
	if err != nil {
		return err
	}
	for _, file := range packed {
		if err := unpackFile(file, fresh); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	// The package's own names folders of AWS Lambda.
	if err := os.WriteFile(filepath.Join(fresh, "fonts.conf"), fonts(folder), 0o644); err != nil {
		return err
	}
	if err := os.Rename(fresh, folder); err != nil {
		if _, there := os.Stat(folder); there != nil {
			return err
		}
	}
	return nil
}

// fonts is the configuration that leads to the package's fonts.
func fonts(folder string) []byte {
	return fmt.Appendf(nil, "<?xml version=\"1.0\"?>\n<fontconfig><dir>%s</dir><cachedir>%s</cachedir></fontconfig>\n",
		filepath.Join(folder, "fonts"), filepath.Join(folder, "fonts-cache"))
}

func unpackFile(path, folder string) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	content := brotli.NewReader(file)
	name := strings.TrimSuffix(filepath.Base(path), ".br")
	if !strings.HasSuffix(name, ".tar") {
		return write(folder, name, content, 0o755)
	}
	archive := tar.NewReader(content)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag == tar.TypeReg {
			if err := write(folder, header.Name, archive, 0o644); err != nil {
				return err
			}
		}
	}
}

// write a file below a folder, whatever its name says.
func write(folder, name string, content io.Reader, mode os.FileMode) (err error) {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("%q lies outside of the folder", name)
	}
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = io.Copy(file, content)
	return err
}
