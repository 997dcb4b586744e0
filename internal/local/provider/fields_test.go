package provider

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/assembly"
)

const (
	assemblyPath = "diecast/internal/assembly"
	localPath    = "diecast/internal/local/"
	localFolder  = "../"
)

// fields are those of the typed resources, and of the structs in them, as Type.Field.
func fields(forms map[string]reflect.Type) []string {
	found := map[string]bool{}
	var visit func(reflect.Type)
	visit = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			visit(t.Elem())
		case reflect.Struct:
			if t.PkgPath() != assemblyPath || t == reflect.TypeFor[assembly.Resource]() {
				return
			}
			for i := range t.NumField() {
				found[t.Name()+"."+t.Field(i).Name] = true
				visit(t.Field(i).Type)
			}
		}
	}
	for _, form := range forms {
		visit(form)
	}
	return slices.Sorted(maps.Keys(found))
}

// reader type-checks the laptop's packages from source, as far as the assembly's types lead: every
// other import is empty, and what does not check for want of it is passed over. That takes
// milliseconds where the whole would take a minute.
type reader struct {
	files    *token.FileSet
	assembly *types.Package
	selected map[string]bool
}

func newReader(t *testing.T) *reader {
	t.Helper()
	r := &reader{files: token.NewFileSet(), selected: map[string]bool{}}
	r.assembly = r.check(assemblyPath, r.parse(t, "../../assembly"))
	return r
}

func (r *reader) parse(t *testing.T, folder string) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, "*.go"))
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(r.files, name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, file)
	}
	return files
}

// Import is the assembly, or an empty package.
func (r *reader) Import(path string) (*types.Package, error) {
	if path == assemblyPath && r.assembly != nil {
		return r.assembly, nil
	}
	empty := types.NewPackage(path, path[strings.LastIndex(path, "/")+1:])
	empty.MarkComplete()
	return empty, nil
}

// written are the selectors to which files assign. An index on the left is read all the same.
func written(files []*ast.File) map[*ast.SelectorExpr]bool {
	found := map[*ast.SelectorExpr]bool{}
	var target func(ast.Expr)
	target = func(expression ast.Expr) {
		switch e := expression.(type) {
		case *ast.SelectorExpr:
			found[e] = true
			target(e.X)
		case *ast.IndexExpr:
			target(e.X)
		case *ast.StarExpr:
			target(e.X)
		case *ast.ParenExpr:
			target(e.X)
		}
	}
	for _, file := range files {
		ast.Inspect(file, func(node ast.Node) bool {
			if assignment, ok := node.(*ast.AssignStmt); ok {
				for _, left := range assignment.Lhs {
					target(left)
				}
			}
			return true
		})
	}
	return found
}

// check notes the fields of the assembly's types that a package reads.
func (r *reader) check(path string, files []*ast.File) *types.Package {
	info := &types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}}
	settings := types.Config{Importer: r, Error: func(error) {}}
	checked, _ := settings.Check(path, r.files, files, info) // what is empty cannot be resolved
	assigned := written(files)
	for selector, selection := range info.Selections {
		if selection.Kind() != types.FieldVal || path == assemblyPath || assigned[selector] {
			continue
		}
		of := selection.Recv()
		if pointer, ok := of.Underlying().(*types.Pointer); ok {
			of = pointer.Elem()
		}
		if named, ok := of.(*types.Named); ok && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == assemblyPath {
			r.selected[named.Obj().Name()+"."+selection.Obj().Name()] = true
		}
	}
	return checked
}

// readLocal reads every package of the laptop.
func (r *reader) readLocal(t *testing.T) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(localFolder, func(folder string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			if files := r.parse(t, folder); len(files) > 0 {
				r.check(localPath+filepath.ToSlash(folder), files)
			}
		}
		return err
	}))
}

// unread are the fields that nobody selects.
func (r *reader) unread(fields []string) []string {
	return slices.DeleteFunc(slices.Clone(fields), func(field string) bool { return r.selected[field] })
}

// What a typed resource holds, the laptop honours: a property that no engine's side reads belongs
// among the ignored ones, with its reason.
func TestEveryFieldOfATypedResourceIsRead(t *testing.T) {
	reader := newReader(t)
	all := fields(assembly.TypesThatRun())
	require.Contains(t, all, "TableIndex.Projection", "structs within are held to it, too")
	require.Equal(t, all, reader.unread(all), "nothing has been read yet")
	reader.readLocal(t)
	assert.Empty(t, reader.unread(all), "decoded in internal/assembly and selected by no package of internal/local")
}

func TestEveryFieldOfATypedResourceIsRead_findsAPlantedOne(t *testing.T) {
	reader := newReader(t)
	planted, err := parser.ParseFile(reader.files, "planted.go", `package planted

import "diecast/internal/assembly"

type other struct{ Versioned bool }

func use(b *assembly.Bucket, o other, tables []assembly.Table) (string, bool, assembly.Bucket) {
	for _, table := range tables {
		_ = table.Key.SortKey
		table.Key.PartitionKey = "id"
		table.AttributeTypes[table.Name] = "S"
	}
	b.Versioned = true
	return b.Name, o.Versioned, assembly.Bucket{Versioned: true}
}
`, parser.SkipObjectResolution)
	require.NoError(t, err)
	reader.check(localPath+"planted", []*ast.File{planted})
	unread := []string{"Bucket.Versioned", "Table.AttributeTypes", "TableKey.PartitionKey"}
	assert.Equal(t, unread, reader.unread([]string{
		"Bucket.Name", "Bucket.Versioned", "Table.AttributeTypes", "Table.Key", "Table.Name",
		"TableKey.PartitionKey", "TableKey.SortKey",
	}), "a like-named field of another type does not count, nor does one that is set")
}
