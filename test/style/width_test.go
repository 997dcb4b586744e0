// Package style holds the checks of form and origin that gofmt and ruff leave open.
package style

import (
	"bytes"
	"fmt"
	"go/scanner"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

// Widths in columns. Prose is read line by line and tires beyond a hundred; code is looked over.
const (
	commentWidth = 100
	codeWidth    = 120
	tabWidth     = 4
)

// width is how many columns a line takes.
func width(line string) int {
	return utf8.RuneCountInString(line) + (tabWidth-1)*strings.Count(line, "\t")
}

// unbreakable says whether the part of a line that sticks out is one word, such as an address.
func unbreakable(line string, most int) bool {
	words := strings.Fields(line)
	return len(words) > 0 && width(words[len(words)-1]) > most-20 && !strings.Contains(words[len(words)-1], `"`)
}

// wideGo names the lines of a Go file that are wider than they may be: those that hold nothing
// but a comment, and others.
func wideGo(name string, source []byte) []string {
	files := token.NewFileSet()
	file := files.AddFile(name, -1, len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, scanner.ScanComments)
	code, comment := map[int]bool{}, map[int]bool{}
	for {
		pos, kind, literal := s.Scan()
		if kind == token.EOF {
			break
		}
		lines := code
		if kind == token.COMMENT {
			lines = comment
		} else if kind == token.SEMICOLON && literal == "\n" {
			continue
		}
		first := file.Line(pos)
		for line := first; line <= first+strings.Count(literal, "\n"); line++ {
			lines[line] = true
		}
	}
	var wide []string
	for i, line := range strings.Split(string(source), "\n") {
		most := codeWidth
		if comment[i+1] && !code[i+1] {
			most = commentWidth
		}
		wide = append(wide, wideLine(name, i, line, most)...)
	}
	return wide
}

// wideProse names the lines of a Markdown file that are wider than prose may be. Tables and code
// have no line breaks to give.
func wideProse(name string, source []byte) []string {
	var wide []string
	fenced := false
	for i, line := range strings.Split(string(source), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}
		if !fenced && !strings.HasPrefix(strings.TrimSpace(line), "|") {
			wide = append(wide, wideLine(name, i, line, commentWidth)...)
		}
	}
	return wide
}

// wideMarked names the wide lines of a file whose comments begin with a mark.
func wideMarked(mark string) func(name string, source []byte) []string {
	return func(name string, source []byte) []string {
		var wide []string
		for i, line := range strings.Split(string(source), "\n") {
			most := codeWidth
			if strings.HasPrefix(strings.TrimSpace(line), mark) {
				most = commentWidth
			}
			wide = append(wide, wideLine(name, i, line, most)...)
		}
		return wide
	}
}

func wideLine(name string, index int, line string, most int) []string {
	if width(line) <= most || unbreakable(line, most) {
		return nil
	}
	return []string{fmt.Sprintf("%s:%d: %d columns, want at most %d", name, index+1, width(line), most)}
}

// checks are by file name extension; ruff holds Python.
var checks = map[string]func(name string, source []byte) []string{
	".go": wideGo, ".md": wideProse, ".sql": wideMarked("--"), ".sh": wideMarked("#"), ".yml": wideMarked("#"),
}

func TestNoLineIsTooWide(t *testing.T) {
	var wide []string
	for name, source := range tracked(t) {
		check := checks[filepath.Ext(name)]
		if check == nil || strings.Contains(name, "testdata/") {
			continue
		}
		wide = append(wide, check(name, bytes.ReplaceAll(source, []byte("\r\n"), []byte("\n")))...)
	}
	slices.Sort(wide)
	assert.Empty(t, wide, "%d lines are too wide:\n%s", len(wide), strings.Join(wide, "\n"))
}

func TestWidth(t *testing.T) {
	words := func(columns int) string { return strings.Repeat("word ", columns/5+1)[:columns-1] + "." }
	tests := map[string]struct {
		name, source string
		want         int
	}{
		"Go comment that fits":       {"a.go", "// " + words(97), 0},
		"Go comment too wide":        {"a.go", "// " + words(98), 1},
		"a tab counts as four":       {"a.go", "\t// " + words(94), 1},
		"Go code that fits":          {"a.go", "var a = \"" + words(110) + "\"", 0},
		"Go code too wide":           {"a.go", "var a = \"" + words(111) + "\"", 1},
		"code before a comment":      {"a.go", "var a int // " + words(107), 0},
		"code before a wide comment": {"a.go", "var a int // " + words(108), 1},
		"a comment over two lines":   {"a.go", "/* a\n" + words(101) + " */", 1},
		"a mark within a string":     {"a.go", "var a = \"// " + words(100) + "\"", 0},
		"an address":                 {"a.go", "// https://example.com/" + strings.Repeat("a", 120), 0},
		"prose that fits":            {"a.md", words(100), 0},
		"prose too wide":             {"a.md", words(101), 1},
		"a table":                    {"a.md", "| " + words(200) + " |", 0},
		"code within prose":          {"a.md", "```\n" + words(200) + "\n```", 0},
		"prose behind code":          {"a.md", "```\nx\n```\n" + words(101), 1},
		"SQL comment too wide":       {"a.sql", "-- " + words(98), 1},
		"SQL that fits":              {"a.sql", words(120), 0},
		"SQL too wide":               {"a.sql", words(121), 1},
		"letters, not bytes":         {"a.md", strings.Repeat("é ", 50), 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Len(t, checks[filepath.Ext(test.name)](test.name, []byte(test.source)), test.want)
		})
	}
}
