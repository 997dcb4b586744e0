package platform

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/process"
	"diecast/internal/local/server/servertest"
)

// A run whose engine or database is killed tells so, by one line that leads to its log.
func TestExited_tellsOfAnEngineThatEndsByItself(t *testing.T) {
	servertest.Needed(t, "an engine")
	const instance = `{"Engine":"%s","DBInstanceClass":"db.t4g.micro","AllocatedStorage":"20",
		"MasterUsername":"keeper","ManageMasterUserPassword":true,"DBName":"shop"}`
	for name, c := range map[string]struct {
		kind, properties string
		// program that is killed, and the folder of its log
		program, log string
	}{
		"kinesalite": {"AWS::Kinesis::Stream", `{"ShardCount":1}`, "kinesalite", "kinesalite"},
		"moto":       {"AWS::S3::Bucket", `{}`, "moto", "moto"},
		"postgres":   {"AWS::RDS::DBInstance", fmt.Sprintf(instance, "postgres"), "bin/postgres", "postgres-S"},
		"mysql":      {"AWS::RDS::DBInstance", fmt.Sprintf(instance, "mysql"), "mariadbd", "mariadb-S"},
	} {
		t.Run(name, func(t *testing.T) {
			assembled, folder := t.TempDir(), t.TempDir()
			for name, text := range map[string]string{
				"manifest.json": `{"version":"54.0.0","artifacts":{"A":{"type":"aws:cloudformation:stack",
					"environment":"aws://unknown-account/unknown-region",
					"properties":{"templateFile":"A.json","stackName":"alone"}}}}`,
				"A.json": `{"Resources":{"S":{"Type":"` + c.kind + `","Properties":` + c.properties + `}}}`,
			} {
				require.NoError(t, os.WriteFile(filepath.Join(assembled, name), []byte(text), 0o600))
			}
			running, err := Start(t.Context(), Options{Assembly: assembled, Source: "../../..", Dir: folder})
			require.NoError(t, err)
			t.Cleanup(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				assert.NoError(t, running.Stop(ctx))
				for _, name := range files(t, folder) {
					assert.True(t, strings.HasSuffix(name, ".log"), "%s is left", name)
				}
			})
			require.NoError(t, running.Err())
			require.NoError(t, syscall.Kill(child(t, c.program), syscall.SIGKILL))
			select {
			case <-running.Exited():
			case <-time.After(5 * time.Second):
				require.Fail(t, "nobody told")
			}
			log := filepath.Join(folder, "engines", c.log)
			require.ErrorContains(t, running.Err(), " has ended, see "+log)
			require.ErrorContains(t, running.Err(), "the engine "+name)
			require.ErrorContains(t, running.Err(), "signal: killed")
			assert.NotContains(t, running.Err().Error(), "\n")
			logs, err := filepath.Glob(filepath.Join(log, "*.log"))
			require.NoError(t, err)
			assert.NotEmpty(t, logs, "a person finds the log there")
		})
	}
}

// child of this process that runs a program.
func child(t *testing.T, program string) int {
	t.Helper()
	listed, err := exec.Command("ps", "-e", "-o", "pid=,ppid=,args=").Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(listed)) {
		var pid, parent int
		_, err := fmt.Sscan(line, &pid, &parent)
		require.NoError(t, err)
		if parent == os.Getpid() && strings.Contains(line, program) {
			return pid
		}
	}
	require.Fail(t, "no child runs "+program)
	return 0
}

// files below a folder, by their paths within it.
func files(t *testing.T, folder string) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel(folder, path) // below it
			names = append(names, name)
		}
		return err
	}))
	return names
}

// Of a run that has ended, and of one that could not start, logs are left and what was built.
func TestClear(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, Clear(filepath.Join(folder, "never")))
	kept := []string{"engines/lambda/build/a/bootstrap", "engines/lambda/log/a.log", "engines/moto/moto.log", "lock"}
	put := func(names ...string) {
		for _, name := range names {
			file := filepath.Join(folder, filepath.FromSlash(name))
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
			require.NoError(t, os.WriteFile(file, nil, 0o600))
		}
	}
	put(kept...)
	put("account.json", "ignored.json", "outputs.json", "engines/moto/moto.port", "engines/mariadb-S/password",
		"engines/mariadb-S/data/tc.log", "engines/glue/jr_1/conf/spark-defaults.conf", "engines/lambda/scratch/a/b")
	require.NoError(t, Clear(folder))
	assert.Equal(t, kept, files(t, folder))
	assert.NoDirExists(t, filepath.Join(folder, "engines", "glue"), "nothing is in it")

	put("outputs.json", "engines/moto/moto.port")
	_, err := Start(t.Context(), Options{Assembly: t.TempDir(), Source: "../../..", Dir: folder})
	require.Error(t, err)
	assert.Equal(t, kept, files(t, folder))
}

// A process that a killed run has left is ended before what tells of it goes.
func TestClear_endsWhatRuns(t *testing.T) {
	folder := t.TempDir()
	scratch := filepath.Join(folder, "engines", "lambda", "scratch")
	require.NoError(t, os.MkdirAll(scratch, 0o700))
	left, err := process.Start(process.Command{Path: "/bin/sleep", Arguments: []string{"600"},
		PIDFile: filepath.Join(scratch, "a.pid")})
	require.NoError(t, err)
	require.NoError(t, Clear(folder))
	<-left.Exited()
	require.Error(t, left.Err(), "it was killed")
	assert.Empty(t, files(t, folder))
}
