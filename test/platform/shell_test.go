package platform

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	gluetypes "github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment/outputs"
	"diecast/internal/local/demonstration"
	"diecast/internal/local/installed"
)

// snippets are the commands in docs/local.md that talk to a run by the AWS command line: those of
// the block that says how a shell is turned to it, and of the blocks after it that use `aws`.
func snippets(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "local.md"))
	require.NoError(t, err)
	var told strings.Builder
	for _, block := range strings.Split(string(text), "```bash\n")[1:] {
		commands, _, _ := strings.Cut(block, "```")
		if strings.Contains(commands, "aws ") {
			told.WriteString(commands)
		}
	}
	require.Contains(t, told.String(), ".local/default/outputs.json")
	return told.String()
}

// commandLines are folders in which there is an `aws`, by its version: that of requirements.txt,
// and the machine's own where that is version 2.
func commandLines(t *testing.T) map[string]string {
	t.Helper()
	python, err := installed.Python()
	require.NoError(t, err)
	found := map[string]string{}
	for _, folder := range append([]string{filepath.Dir(python)}, filepath.SplitList(os.Getenv("PATH"))...) {
		version, err := exec.CommandContext(t.Context(), filepath.Join(folder, "aws"), "--version").Output()
		if err != nil {
			continue // none
		}
		major, _, known := strings.Cut(strings.TrimPrefix(string(version), "aws-cli/"), ".")
		if known && found[major] == "" {
			found[major] = folder
		}
	}
	require.Contains(t, found, "1", "requirements.txt has it")
	return found
}

// What docs/local.md says of the AWS command line works in a shell that is logged in to AWS, and
// asks nobody else.
func TestTheDocumentedShellTalksToTheRun(t *testing.T) {
	folder := t.TempDir()
	dir := filepath.Join(folder, ".local", "default")
	running := startIn(t, synthesized, dir)
	stream := output(t, running, outputs.StreamName)
	for version, folderOfAWS := range commandLines(t) {
		t.Run("version "+version, func(t *testing.T) {
			hostile, elsewhere := hostileShell(t)
			// What the interpreter of version 1 itself reads is its user's to set right.
			hostile = slices.DeleteFunc(hostile, func(variable string) bool {
				name, _, _ := strings.Cut(variable, "=")
				return strings.HasPrefix(name, "PYTHON") ||
					slices.Contains([]string{"LD_LIBRARY_PATH", "IFS", "PATH"}, name)
			})
			run := exec.CommandContext(t.Context(), "bash", "-eu", "-o", "pipefail", "-c", snippets(t))
			run.Dir, run.Env = folder, append(hostile, "PATH="+folderOfAWS+":/usr/local/bin:/usr/bin:/bin")
			said, err := run.CombinedOutput()
			require.NoError(t, err, "%s", said)
			assert.Contains(t, string(said), stream)
			assert.Regexp(t, `STARTING|RUNNING|SUCCEEDED`, string(said), "the job")
			assert.Contains(t, string(said), "ExecutionStarted")
			assert.Contains(t, string(said), "InstanceRefreshId")
			assert.Zero(t, elsewhere.Load(), "somebody was asked who has no part in it")
			settle(t, running)
		})
	}
}

// ended is a run once it has ended.
func ended(t *testing.T, target demonstration.BatchTarget, id string) *gluetypes.JobRun {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		told, err := target.Jobs.GetJobRun(t.Context(), &glue.GetJobRunInput{JobName: &target.Job, RunId: &id})
		require.NoError(t, err)
		if told.JobRun.CompletedOn != nil {
			return told.JobRun
		}
		<-tick.C
	}
}

// settle ends what the snippets started, of which there may be one at a time.
func settle(t *testing.T, running started) {
	t.Helper()
	target, err := demonstration.BatchTargetOf(t.Context(), running.deployed)
	require.NoError(t, err)
	runs, err := target.Jobs.GetJobRuns(t.Context(), &glue.GetJobRunsInput{JobName: &target.Job})
	require.NoError(t, err)
	for _, run := range runs.JobRuns {
		_, err := target.Jobs.BatchStopJobRun(t.Context(), &glue.BatchStopJobRunInput{JobName: &target.Job,
			JobRunIds: []string{*run.Id}})
		require.NoError(t, err)
		ended(t, target, *run.Id)
	}
	groups, err := running.deployed.AutoScaling(t.Context())
	require.NoError(t, err)
	group := output(t, running, outputs.WebGroupName)
	require.Eventually(t, func() bool {
		told, err := groups.DescribeInstanceRefreshes(t.Context(),
			&autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: &group})
		return err == nil && !slices.ContainsFunc(told.InstanceRefreshes, func(one types.InstanceRefresh) bool {
			return one.EndTime == nil
		})
	}, 2*time.Minute, 200*time.Millisecond, "the servers roll")
}
