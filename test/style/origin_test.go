package style

import (
	"fmt"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

// most is how large a file of the project may be, in bytes: snapshots and pictures are smaller,
// downloads and executables larger.
const most = 1 << 20

// ofAMachine are folders that a tool writes into what it makes: where the project's maker has tools
// and scratch files. Whoever looks at the file has none of them.
var ofAMachine = regexp.MustCompile(`/root/\.|/site-packages/|/tmp/\w+/\w+\.py`)

// strangers names the files that were not made for the project, or tell of the machine that made
// them.
func strangers(contents map[string][]byte) []string {
	var found []string
	for name, content := range contents {
		if len(content) > most {
			found = append(found, fmt.Sprintf("%s: %d bytes, want at most %d", name, len(content), most))
		}
		if folder := ofAMachine.Find(content); folder != nil {
			found = append(found, fmt.Sprintf("%s: names %q, a folder of a machine", name, folder))
		}
	}
	slices.Sort(found)
	return found
}

func TestNoFileIsADownloadOrTellsOfAMachine(t *testing.T) {
	contents := tracked(t)
	delete(contents, "test/style/origin_test.go") // which says what is looked for
	assert.Empty(t, strangers(contents))
}

func TestStrangers(t *testing.T) {
	assert.Empty(t, strangers(map[string][]byte{"go.sum": make([]byte, most), "boot.sh": []byte("/root/web")}))
	assert.Len(t, strangers(map[string][]byte{
		"tool.whl":   make([]byte, most+1),
		"model.onnx": []byte("\x00\x01File \"/root/.cache/a.py\""),
		"trace.txt":  []byte("/usr/lib/python3/site-packages/a.py"),
		"other.txt":  []byte("/tmp/scratch/make.py"),
	}), 4)
}
