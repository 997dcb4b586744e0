package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment/outputs"
	"diecast/internal/local/balancer"
	"diecast/internal/local/fleet"
)

// servers are a run's, of the fleet's specimen, whose source is returned.
func servers(t *testing.T, file string) (source string) {
	t.Helper()
	source = t.TempDir()
	program, err := os.ReadFile("../../internal/local/fleet/testdata/specimen/main.go")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(source, "go.mod"), []byte("module specimen\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(source, "main.go"), program, 0o600))
	host, err := fleet.Start(t.Context(), fleet.Options{Dir: t.TempDir(), Account: "0", Region: "r",
		Credentials: aws.Credentials{AccessKeyID: "k", SecretAccessKey: "s"}})
	require.NoError(t, err)
	targets := balancer.NewGroup(balancer.GroupOptions{
		Health: balancer.HealthCheck{Path: "/healthz", Interval: 20 * time.Millisecond, Timeout: time.Second,
			Healthy:   2,
			Unhealthy: 2, Good: func(status int) bool { return status == http.StatusOK }},
		DeregistrationDelay: time.Second,
	})
	t.Cleanup(func() {
		require.NoError(t, host.Stop(context.Background()))
		targets.Stop()
	})
	require.NoError(t, host.Add(t.Context(), fleet.Group{
		Name: "servers", Source: source, PortVariable: "WEB_PORT", KeyVariable: "WEB_KEY",
		Environment: map[string]string{"WEB_PORT": ""},
		Size:        2, Zones: []string{"a"}, Grace: 10 * time.Second, Stopping: time.Second, Targets: targets,
	}))
	data, err := outputs.File{
		Stacks: map[string]map[string]string{outputs.Web.Name("shop"): {
			outputs.PageAddress.Name: "http://127.0.0.1:1", outputs.WebGroupName.Name: "servers",
		}},
		Endpoints: outputs.Endpoints{
			outputs.EndpointOf("Auto Scaling"): host.Endpoint(), outputs.AccessKeyID: "k", outputs.SecretAccessKey: "s",
			outputs.Region: "r",
		},
	}.Encode()
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, data, 0o600))
	return source
}

func TestLocalRoll(t *testing.T) {
	folder := t.TempDir()
	source := servers(t, filepath.Join(folder, ".local", "mine", "outputs.json"))
	t.Chdir(folder)
	code, out, notes := local(t, "roll", "--run", "mine")
	require.Zero(t, code, notes)
	assert.Regexp(t, `^rolled servers in \d+\.\d s; on AWS, too, no request would have been answered with 502\n$`, out)
	assert.Contains(t, notes, "platform shop on this machine, run of .local/mine/outputs.json")

	program, err := os.ReadFile(filepath.Join(source, "main.go"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(source, "main.go"),
		[]byte(strings.Replace(string(program), `"one"`, "undefinedThing", 1)), 0o600))
	code, out, notes = local(t, "roll", "--run", "mine")
	assert.Equal(t, 1, code)
	assert.Empty(t, out)
	assert.Contains(t, notes, "undefined: undefinedThing")

	code, _, notes = local(t, "roll", "--run", "other")
	assert.Equal(t, 1, code)
	assert.Contains(t, notes, "there is no file of outputs")
}

func TestLocalRoll_waitsForNoSilentRunWithoutEnd(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // connections are accepted, and nobody answers
	require.NoError(t, err)
	defer listener.Close()
	groups := autoscaling.New(autoscaling.Options{
		BaseEndpoint: aws.String("http://" + listener.Addr().String()), Region: "r",
		Credentials: credentials.NewStaticCredentialsProvider("k", "s", ""),
	})
	_, err = rolled(t.Context(), groups, "servers", startSteps(io.Discard), 50*time.Millisecond)
	require.EqualError(t, err, "no answer within 50ms")
}
