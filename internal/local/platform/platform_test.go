package platform

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
