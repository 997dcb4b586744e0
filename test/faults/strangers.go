package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"diecast/internal/deployment/outputs"
)

// nobody is another user of the machine.
const nobody = 65534

// strangerAtTheDoor is somebody without the run's login: who knows only what every user of the
// machine may see.
func strangerAtTheDoor() disturbance {
	return disturbance{"the other user", "requests without the run's login to every port, files read as another user",
		func(ctx context.Context, r *run, _ *rand.Rand) error {
			return errors.Join(r.refusesStrangers(ctx), r.keepsFiles(ctx))
		}}
}

// ports that the run listens on, by the kernel's list.
func (r *run) ports(ctx context.Context) ([]string, error) {
	output, err := exec.CommandContext(ctx, "ss", "-H", "-l", "-t", "-n", "-p").Output()
	if err != nil {
		return nil, fmt.Errorf("ss: %w", err)
	}
	mine := map[string]bool{fmt.Sprint(r.child.Process.Pid): true}
	for _, p := range r.processes() {
		mine[fmt.Sprint(p.id)] = true
	}
	address := regexp.MustCompile(`(127\.0\.0\.1|\[?::1?\]?|\*|0\.0\.0\.0):(\d+)`)
	owner := regexp.MustCompile(`pid=(\d+)`)
	var ports []string
	for line := range strings.Lines(string(output)) {
		at, by := address.FindStringSubmatch(line), owner.FindStringSubmatch(line)
		if at == nil || by == nil || !mine[by[1]] {
			continue
		}
		if at[1] != "127.0.0.1" {
			return nil, fmt.Errorf("the run listens on %s: other machines reach it", at[0])
		}
		if !slices.Contains(ports, at[2]) {
			ports = append(ports, at[2])
		}
	}
	return ports, nil
}

// knocks are what a stranger may try on any port.
func knocks() []*http.Request {
	var all []*http.Request
	knock := func(method, path, body string, headers ...string) {
		request, err := http.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
		if err != nil {
			panic(err) // the paths are those below
		}
		for i := 0; i+1 < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		all = append(all, request)
	}
	const wrong = "AWS4-HMAC-SHA256 Credential=AKIADIECASTLOCALRUN0/20260101/us-east-1/any/aws4_request, " +
		"SignedHeaders=host, Signature=0"
	knock(http.MethodGet, "/", "")
	knock(http.MethodGet, "/", "", "Authorization", wrong)
	knock(http.MethodGet, "/recommendations", "")
	knock(http.MethodGet, "/2018-06-01/runtime/invocation/next", "")
	knock(http.MethodGet, "/latest/meta-data/instance-id", "")
	knock(http.MethodPut, "/latest/api/token", "", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	knock(http.MethodPost, "/2015-03-31/functions/any/invocations", "{}", "Authorization", wrong)
	for target, body := range map[string]string{
		"Kinesis_20131202.ListStreams": "{}", "DynamoDB_20120810.ListTables": "{}", "secretsmanager.ListSecrets": "{}",
		"AWSGlue.GetJobRuns": `{"JobName":"any"}`,
	} {
		for _, login := range []string{wrong, ""} {
			content := "application/x-amz-json-1.1"
			if strings.HasPrefix(target, "DynamoDB") {
				content = "application/x-amz-json-1.0"
			}
			headers := []string{"X-Amz-Target", target, "Content-Type", content, "X-Amz-Date", "20260101T000000Z"}
			if login != "" {
				headers = append(headers, "Authorization", login)
			}
			knock(http.MethodPost, "/", body, headers...)
		}
	}
	return all
}

// refusesStrangers says which ports answer who has no login. A database speaks no HTTP, and hangs
// up.
func (r *run) refusesStrangers(ctx context.Context) error {
	ports, err := r.ports(ctx)
	if err != nil {
		return err
	}
	if len(ports) < 5 {
		return fmt.Errorf("only %d ports of the run are found: %v", len(ports), ports)
	}
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var problems []error
	for _, port := range ports {
		for _, request := range knocks() {
			if err := knockAt(ctx, client, port, request); err != nil {
				problems = append(problems, err)
				break // one open door of a house is enough
			}
		}
	}
	return errors.Join(append(problems, r.refusesPages(ctx, client))...)
}

func knockAt(ctx context.Context, client *http.Client, port string, request *http.Request) error {
	knock := request.Clone(ctx)
	knock.URL.Host, knock.Host = "127.0.0.1:"+port, "127.0.0.1:"+port
	if request.GetBody != nil {
		knock.Body, _ = request.GetBody() // of a text, it does not fail
	}
	answer, err := client.Do(knock)
	var over interface{ Timeout() bool }
	if errors.As(err, &over) && over.Timeout() {
		return fmt.Errorf("port %s lets a stranger's %s %s wait for an answer", port, request.Method, request.URL.Path)
	}
	if err != nil {
		return nil
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 400 && answer.StatusCode < 500 {
		return nil
	}
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 60))
	return fmt.Errorf("port %s answers a stranger's %s %s %s by %s: %s", port, request.Method, request.URL.Path,
		request.Header.Get("X-Amz-Target"), answer.Status, bytes.TrimSpace(said))
}

// own are requests that each service answers to the run's login.
var own = []struct{ service, target, content, body string }{
	{kinesis.ServiceID, "Kinesis_20131202.ListStreams", "application/x-amz-json-1.1", "{}"},
	{dynamodb.ServiceID, "DynamoDB_20120810.ListTables", "application/x-amz-json-1.0", "{}"},
	{secretsmanager.ServiceID, "secretsmanager.ListSecrets", "application/x-amz-json-1.1", "{}"},
	{glue.ServiceID, "AWSGlue.GetJobRuns", "application/x-amz-json-1.1", `{"JobName":"JOB"}`},
	{autoscaling.ServiceID, "", "application/x-www-form-urlencoded",
		"Action=DescribeAutoScalingGroups&Version=2011-01-01"},
}

// refusesPages: what is answered to the run's login is refused where it comes with an Origin, as
// from a page of the web, or by a name that somebody else has made lead here.
func (r *run) refusesPages(ctx context.Context, client *http.Client) error {
	batch, err := r.deployed.Batch()
	if err != nil {
		return err
	}
	var problems []error
	for _, o := range own {
		for name, set := range map[string]func(*http.Request){
			"":                    func(*http.Request) {},
			" with an Origin":     func(q *http.Request) { q.Header.Set("Origin", "https://example.com") },
			" for another's host": func(q *http.Request) { q.Host = "example.com" },
		} {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost,
				r.endpoints[outputs.EndpointOf(o.service)]+"/",
				strings.NewReader(strings.Replace(o.body, "JOB", batch.Job, 1)))
			if err != nil {
				return err
			}
			request.Header.Set("Content-Type", o.content)
			request.Header.Set("X-Amz-Date", "20260101T000000Z")
			if o.target != "" {
				request.Header.Set("X-Amz-Target", o.target)
			}
			request.Header.Set("Authorization", r.login(o.service))
			set(request)
			answer, err := client.Do(request)
			if err != nil && name != "" {
				continue // it hung up
			}
			if err != nil {
				return err
			}
			_ = answer.Body.Close()
			if refused := answer.StatusCode >= 400 && answer.StatusCode < 500; refused != (name != "") {
				problems = append(problems, fmt.Errorf("%s answers the run's own request%s by %s", o.service, name,
					answer.Status))
			}
		}
	}
	return errors.Join(problems...)
}

// keepsFiles: another user reads no file of the run, nor what its processes were told. Only root
// can ask as somebody else; for others the modes are looked at.
func (r *run) keepsFiles(ctx context.Context) error {
	search := exec.CommandContext(ctx, "find", r.runFolder(), "-type", "f", "-perm", "/077")
	if os.Geteuid() == 0 {
		search = exec.CommandContext(ctx, "find", r.runFolder(), "-type", "f", "-readable")
		search.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	search.Dir = "/"
	output, _ := search.Output() // it fails where it may not enter, as it should be
	found := strings.Fields(string(output))
	if len(found) > 0 {
		return fmt.Errorf("another user may read %d files, the first is %s", len(found), found[0])
	}
	return nil
}
