package platform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment/outputs"
)

// stranger is a user who is neither the run's, nor any that its programs run as: nobody.
const stranger = 65534

// Another user of the machine gets in by no door: no engine, function, page, server or database
// serves who lacks the run's secrets, and its files and its processes' environments are its
// owner's. Who is root tries as that user; who is not tries without what the run's files tell.
func TestNobodyElseGetsIn(t *testing.T) {
	folder := t.TempDir()
	running := startIn(t, synthesized, filepath.Join(folder, ".local", "mine"))
	// Functions have processes of their own once they have been called.
	_, refused := ask(t, running.deployed, outputs.SourceLoaderFunctionName, "SELECT 1")
	require.Empty(t, refused)
	run := struct {
		Ports, Processes []int
		Folders          []string
	}{Processes: descendants(t, os.Getpid())}
	run.Ports = listening(t, append(run.Processes, os.Getpid()))
	command := exec.CommandContext(t.Context(), built(t, "./test/platform/testdata/stranger"))
	command.Env, command.Dir = []string{}, "/"
	if os.Geteuid() == 0 {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
		run.Folders = append(run.Folders, filepath.Join(folder, ".local", "mine"))
		for _, process := range run.Processes { // where the engines work, wherever that is
			work, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", process))
			if err == nil && !slices.Contains(run.Folders, work) && !strings.HasPrefix(work, folder) {
				run.Folders = append(run.Folders, work)
			}
		}
	} else {
		run.Processes = nil // one's own
	}
	input, err := json.Marshal(run)
	require.NoError(t, err)
	var output, said bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(input), &output, &said
	require.NoError(t, command.Run(), "%s", said.String())
	var found struct {
		Tried map[string]int
		In    []string
	}
	require.NoError(t, json.Unmarshal(output.Bytes(), &found), "%s", output.String())
	t.Log(found.Tried)
	assert.Empty(t, found.In)
	// S3 and secrets, streams, tables, functions, jobs, groups, the page, two servers and their two
	// metadata services, a function's Runtime API, the inference function's URL.
	assert.GreaterOrEqual(t, found.Tried["HTTP"], 12*100)
	assert.Positive(t, found.Tried["PostgreSQL"])
	assert.Positive(t, found.Tried["MariaDB"])
	if os.Geteuid() == 0 {
		assert.Positive(t, found.Tried["environment"])
		assert.Positive(t, found.Tried["folder"])
	}
	t.Run("no argument tells a secret", func(t *testing.T) {
		secrets := []string{running.Endpoints()[outputs.AccessKeyID], running.Endpoints()[outputs.SecretAccessKey]}
		for _, process := range append(run.Processes, os.Getpid()) {
			arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", process))
			if errors.Is(err, fs.ErrNotExist) {
				continue // it has ended
			}
			require.NoError(t, err)
			for _, secret := range secrets {
				assert.NotContains(t, string(arguments), secret, process)
			}
		}
	})
	t.Run("each file is its owner's alone", func(t *testing.T) {
		require.NoError(t, filepath.WalkDir(filepath.Join(folder, ".local"),
			func(path string, entry fs.DirEntry, err error) error {
				if errors.Is(err, fs.ErrNotExist) {
					return nil // a temporary one
				}
				require.NoError(t, err)
				info, err := entry.Info()
				if errors.Is(err, fs.ErrNotExist) || entry.Type()&fs.ModeSymlink != 0 {
					return nil
				}
				require.NoError(t, err)
				assert.Zero(t, info.Mode().Perm()&0o077, "%s is %s", path, info.Mode())
				return nil
			}))
	})
}

// built is a command of the module in a folder that every user can reach.
func built(t *testing.T, source string) string {
	t.Helper()
	folder, err := os.MkdirTemp("/tmp", "diecast-stranger-")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(folder)) })
	require.NoError(t, os.Chmod(folder, 0o755))
	command := filepath.Join(folder, "command")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", command, source)
	build.Dir = root
	said, err := build.CombinedOutput()
	require.NoError(t, err, "%s", said)
	require.NoError(t, os.Chmod(command, 0o755))
	return command
}

// listening are the TCP ports on which processes listen: proc(5), /proc/net/tcp.
func listening(t *testing.T, processes []int) []int {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	require.NoError(t, err)
	ports := map[string]int{} // by socket
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[3] != "0A" {
			continue
		}
		_, port, _ := strings.Cut(fields[1], ":")
		number, err := strconv.ParseInt(port, 16, 32)
		require.NoError(t, err)
		ports["socket:["+fields[9]+"]"] = int(number)
	}
	var all []int
	for _, process := range processes {
		descriptors, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", process))
		for _, descriptor := range descriptors {
			opened, err := os.Readlink(descriptor)
			if port, listens := ports[opened]; err == nil && listens && !slices.Contains(all, port) {
				all = append(all, port)
			}
		}
	}
	return all
}
