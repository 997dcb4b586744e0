package server

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed templates static
var files embed.FS

// asset is a file that never changes under its name, which holds a hash of its content.
type asset struct {
	kind string
	body body
}

// assets by name, and the address of each file.
var assets, addresses = readAssets()

func readAssets() (map[string]asset, map[string]string) {
	byName, addresses := map[string]asset{}, map[string]string{}
	entries, err := fs.ReadDir(files, "static")
	if err != nil {
		panic(fmt.Sprintf("server: embedded folder: %v", err)) // only a broken build can get here
	}
	for _, entry := range entries {
		content, err := files.ReadFile("static/" + entry.Name())
		if err != nil {
			panic(fmt.Sprintf("server: embedded file: %v", err)) // only a broken build can get here
		}
		sum := sha256.Sum256(content)
		extension := path.Ext(entry.Name())
		name := strings.TrimSuffix(entry.Name(), extension) + "." + hex.EncodeToString(sum[:6]) + extension
		byName[name] = asset{mime.TypeByExtension(extension), newBody(content)}
		addresses[entry.Name()] = "/static/" + name
	}
	return byName, addresses
}

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"asset": func(file string) (string, error) {
		if address, known := addresses[file]; known {
			return address, nil
		}
		return "", fmt.Errorf("there is no static file %q", file)
	},
	"count": func(n int) string { return count(int64(n)) }, "money": money, "day": day,
}).ParseFS(files, "templates/*.html"))

func (s *Server) static(w http.ResponseWriter, r *http.Request) {
	found, known := assets[r.PathValue("name")]
	if !known {
		s.problem(w, http.StatusNotFound, "There is no such file", "Nothing is at "+quoted(r.URL.Path)+".")
		return
	}
	w.Header().Set("Content-Type", found.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	found.body.write(w, r, http.StatusOK)
}
