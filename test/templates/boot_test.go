package templates

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/awsdb/certificates"
)

// rendered is a value of a template as text; what is known at deployment only stands in it as one
// word that names it.
func rendered(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case map[string]any:
		for function, argument := range v {
			switch parts, _ := argument.([]any); {
			case function == "Fn::Join" && len(parts) == 2:
				var texts []string
				for _, part := range parts[1].([]any) {
					texts = append(texts, rendered(part))
				}
				return strings.Join(texts, fmt.Sprint(parts[0]))
			case function == "Fn::Base64":
				return rendered(argument)
			case function == "Fn::Sub":
				return strings.NewReplacer("${AWS::AccountId}", "account", "${AWS::Region}", "region").
					Replace(fmt.Sprint(argument))
			case function == "Ref" && argument == "AWS::Region":
				return "region"
			}
		}
	}
	return strings.Trim(unfit.ReplaceAllString(string(compact(value)), "."), ".")
}

// unfit are the signs of JSON that would mean something to a shell.
var unfit = regexp.MustCompile(`[^A-Za-z0-9]+`)

func decoded(t *testing.T, value map[string]any) map[string]any {
	t.Helper()
	var copied map[string]any
	require.NoError(t, json.Unmarshal(compact(value), &copied))
	return copied
}

// told is the environment that a fleet's metadata names, from which the laptop starts servers.
func told(t *testing.T, stack template) map[string]string {
	t.Helper()
	group := one(t, stack, "AWS::AutoScaling::AutoScalingGroup")
	server, ok := group.Metadata["diecast:server"].(map[string]any)
	require.True(t, ok, "the group says what its instances run")
	assert.Equal(t, "./web", server["package"])
	environment := map[string]string{}
	for name, value := range server["environment"].(map[string]any) {
		environment[name] = rendered(value)
	}
	require.NotEmpty(t, environment)
	return environment
}

// bootScript is what the instances run at their first start.
func bootScript(t *testing.T, stack template) string {
	t.Helper()
	data := one(t, stack, "AWS::EC2::LaunchTemplate").Properties["LaunchTemplateData"].(map[string]any)
	return rendered(data["UserData"])
}

// environmentFile reads NAME="value" lines as systemd does where nothing is escaped
// (systemd.exec, EnvironmentFile).
func environmentFile(t *testing.T, text string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for line := range strings.Lines(text) {
		match := regexp.MustCompile(`^([A-Z0-9_]+)="([^"\\]*)"\n$`).FindStringSubmatch(line)
		require.NotNil(t, match, "%q", line)
		found[match[1]] = match[2]
	}
	return found
}

// machine is a temporary root in which the boot script runs, with stand-ins for what an instance
// has and this machine must not be touched by.
type machine struct {
	t    *testing.T
	root string
	// program is what S3 holds.
	program string
}

// The stand-ins note how they were called. aws fails as often as the file failures says, for what
// the file reason says.
const (
	standIn = `#!/bin/bash
echo "$(basename "$0") $*" >> "$MACHINE/calls"
`
	awsStandIn = standIn + `
failures=$(cat "$MACHINE/failures" 2>/dev/null || echo 0)
if [ "$failures" -gt 0 ]; then
  echo $((failures - 1)) > "$MACHINE/failures"
  cat "$MACHINE/reason" >&2
  exit 1
fi
from=${*: -2:1} to=${*: -1}
case $from in
s3://*.pem) cp "$MACHINE/authorities.pem" "$to" ;;
s3://*) cp "$MACHINE/program" "$to" ;;
*) cp "$from" "$MACHINE/sent.gz" ;;
esac
`
	journalStandIn = standIn + `
for argument; do
  case $argument in --cursor-file=*) file=${argument#*=} ;; esac
done
echo "after $(cat "$file" 2>/dev/null || echo the start)"
echo "line $(($(wc -l < "$MACHINE/calls")))" > "$file"
`
	quietJournal = standIn + "exit 0\n"
)

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, root: t.TempDir(), program: "#!/bin/sh\necho served\n"}
	for _, folder := range []string{"stand-ins", "usr/local/bin", "etc/systemd/system", "var/lib/cloud/data", "root"} {
		require.NoError(t, os.MkdirAll(filepath.Join(m.root, folder), 0o755))
	}
	m.write("program", m.program, 0o600)
	m.write("reason", s3Denied, 0o600)
	m.write("authorities.pem", string(certificates.With(certificates.RDS)), 0o600)
	m.write("var/lib/cloud/data/instance-id", "i-0123456789abcdef0\n", 0o600)
	m.write("stand-ins/aws", awsStandIn, 0o755)
	m.write("stand-ins/journalctl", journalStandIn, 0o755)
	for _, name := range []string{"systemctl", "sleep"} {
		m.write("stand-ins/"+name, standIn, 0o755)
	}
	return m
}

func (m *machine) write(name, text string, mode os.FileMode) {
	m.t.Helper()
	require.NoError(m.t, os.WriteFile(filepath.Join(m.root, name), []byte(text), mode))
}

func (m *machine) read(name string) string {
	m.t.Helper()
	data, err := os.ReadFile(filepath.Join(m.root, name))
	require.NoError(m.t, err)
	return string(data)
}

func (m *machine) calls() []string {
	return strings.Split(strings.TrimSpace(m.read("calls")), "\n")
}

// absolute are the folders of an instance that the script names.
var absolute = regexp.MustCompile(`([ "=])/(usr/local/bin|etc|var/lib|root)/`)

// placed is the script with an instance's folders below the machine's root.
func (m *machine) placed(script string) string {
	return absolute.ReplaceAllString(script, "${1}"+m.root+"/${2}/")
}

// run runs a script whole, as an instance's root would.
func (m *machine) run(script string) (string, error) {
	command := exec.Command("bash")
	command.Stdin = strings.NewReader(script)
	command.Dir = m.root
	command.Env = []string{"PATH=" + filepath.Join(m.root, "stand-ins") + ":" + os.Getenv("PATH"), "MACHINE=" + m.root}
	output, err := command.CombinedOutput()
	return string(output), err
}

// built gives the script the checksum of what S3 holds: templates of tests hold none that fits.
func (m *machine) built(script string) string {
	sum := sha256.Sum256([]byte(m.program))
	return strings.ReplaceAll(script, strings.Repeat("0", 64), hex.EncodeToString(sum[:]))
}

// TestBoot_startsTheServer runs the script of every configuration.
func TestBoot_startsTheServer(t *testing.T) {
	for _, settings := range everyConfiguration() {
		t.Run(strings.Join(settings, " "), func(t *testing.T) {
			stack := web(t, settings...)
			script := bootScript(t, stack)
			assert.Less(t, len(script), 16<<10, "EC2 takes no more user data")
			check := exec.Command("bash", "-n")
			check.Stdin = strings.NewReader(script)
			output, err := check.CombinedOutput()
			require.NoError(t, err, "%s", output)
			assert.NotRegexp(t, `\b(dnf|yum|curl|wget)\b.*(install|http)`, script, "nothing comes from the internet")

			m := newMachine(t)
			said, err := m.run(m.placed(m.built(script)))
			require.NoError(t, err, said)
			assert.Equal(t, m.program, m.read("usr/local/bin/web"))
			info, err := os.Stat(filepath.Join(m.root, "usr/local/bin/web"))
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o755), info.Mode())
			assert.NoFileExists(t, filepath.Join(m.root, "root/web"))
			inPlace := strings.ReplaceAll(m.read("etc/web/environment"), m.root, "")
			assert.Equal(t, told(t, stack), environmentFile(t, inPlace),
				"instances and laptop are told the same")

			calls := m.calls()
			assert.Equal(t, "systemctl enable --now web.service", calls[len(calls)-1])
			assert.Contains(t, calls, "systemctl enable --now web-logs.timer")
			shell := slices.ContainsFunc(settings, func(s string) bool {
				return slices.Contains([]string{"profile=standard", "profile=prod", "network.nat=instance",
					"network.sessionManager=true"}, s)
			})
			assert.Equal(t, !shell, slices.Contains(calls, "systemctl disable --now amazon-ssm-agent.service"),
				"the agent is off where it reaches nothing")
			fetches := slices.IndexFunc(calls, func(call string) bool { return strings.HasPrefix(call, "aws s3 cp") })
			require.Positive(t, fetches)
			assert.Regexp(t, `^aws s3 cp --region region --only-show-errors s3://cdk-hnb659fds-assets-account-region/`+
				`[0-9a-f]{64}\.\w+ `, calls[fetches])
			m.checkUnits()
		})
	}
}

// checkUnits asks systemd, where this machine has it, whether it understands the units and how far
// the server is shut in.
func (m *machine) checkUnits() {
	m.t.Helper()
	systemd, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return
	}
	units := filepath.Join(m.root, "etc/systemd/system")
	for _, unit := range []string{"web.service", "web-logs.service", "web-logs.timer"} {
		output, err := exec.Command(systemd, "verify", "--man=no", "--recursive-errors=no",
			filepath.Join(units, unit)).CombinedOutput()
		assert.NoError(m.t, err, "%s", output)
		assert.NotContains(m.t, string(output), unit+":", "systemd understands every line")
	}
	// 0 is shut in, 10 open (systemd-analyze, security).
	output, err := exec.Command(systemd, "security", "--offline=yes", "--threshold=20",
		filepath.Join(units, "web.service")).CombinedOutput()
	assert.NoError(m.t, err, "%s", output)
}

func TestBoot_serverIsShutIn(t *testing.T) {
	for profile, want := range map[string]struct{ collector, most string }{
		"lean":     {"GOMEMLIMIT=204MiB", "256M"},
		"standard": {"GOMEMLIMIT=409MiB", "512M"},
		"prod":     {"GOMEMLIMIT=819MiB", "1024M"},
		"course":   {"GOMEMLIMIT=409MiB", "512M"},
	} {
		t.Run(profile, func(t *testing.T) {
			_, unit, _ := strings.Cut(bootScript(t, web(t, "profile="+profile)), "system/web.service <<'END'\n")
			unit, _, _ = strings.Cut(unit, "\nEND\n")
			lines := strings.Split(unit, "\n")
			assert.Subset(t, lines, []string{
				"DynamicUser=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "ProtectSystem=strict",
				"ProtectHome=yes", "PrivateTmp=yes", "SystemCallFilter=@system-service",
				"RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "Restart=always", "TimeoutStopSec=35s",
				"Environment=" + want.collector, "MemoryMax=" + want.most, "OOMScoreAdjust=-500",
			})
		})
	}
}

// TestBoot_anotherProgramIsNotStarted: what S3 holds must be what the template was made with.
func TestBoot_anotherProgramIsNotStarted(t *testing.T) {
	script := bootScript(t, web(t, "profile=lean"))
	m := newMachine(t)
	placed := m.placed(m.built(script))
	m.write("program", "#!/bin/sh\necho stolen\n", 0o600)
	said, err := m.run(placed)
	require.Error(t, err)
	assert.Contains(t, said, "did NOT match")
	assert.NotContains(t, m.calls(), "systemctl enable --now web.service")
	assert.NoFileExists(t, filepath.Join(m.root, "usr/local/bin/web"))
	assert.Contains(t, m.calls(), "systemctl enable --now web-logs.timer", "and the log of it is sent")
}

// What aws s3 cp says where a role may not read yet, where nothing lies there, and where its
// certificates do not fit.
const (
	s3Denied  = "fatal error: An error occurred (403) when calling the HeadObject operation: Forbidden"
	s3Missing = "fatal error: An error occurred (404) when calling the HeadObject operation: Key \"k\" does not exist"
	s3NoStore = "fatal error: An error occurred (NoSuchBucket) when calling the GetObject operation: The specified " +
		"bucket does not exist"
	s3Stranger = "fatal error: SSL validation failed for https://s3.amazonaws.com/ [SSL: CERTIFICATE_VERIFY_FAILED]"
)

func TestBoot_endsAtOnceWhereWaitingMendsNothing(t *testing.T) {
	script := bootScript(t, web(t, "profile=lean"))
	for _, reason := range []string{s3Missing, s3NoStore, s3Stranger} {
		m := newMachine(t)
		m.write("failures", "1", 0o600)
		m.write("reason", reason, 0o600)
		said, err := m.run(m.placed(m.built(script)))
		require.Error(t, err, said)
		assert.Contains(t, said, "attempt 1 of 10 to fetch the program failed: "+reason)
		assert.Contains(t, said, "cannot be fetched")
		assert.NotContains(t, m.calls(), "sleep 3")
		assert.Contains(t, m.calls(), "systemctl enable --now web-logs.timer", "and the log of it is sent")
	}
}

func TestBoot_programIsAskedForAgain(t *testing.T) {
	script := bootScript(t, web(t, "profile=lean"))
	for failures, starts := range map[string]bool{"9": true, "10": false} {
		m := newMachine(t)
		m.write("failures", failures, 0o600)
		said, err := m.run(m.placed(m.built(script)))
		assert.Equal(t, starts, err == nil, said)
		assert.Equal(t, starts, slices.Contains(m.calls(), "systemctl enable --now web.service"))
		assert.Contains(t, said, "attempt 9 of 10 to fetch the program failed: "+s3Denied)
		assert.Equal(t, !starts, strings.Contains(said, "the boot ends: s3://"), said)
	}
}

func TestBoot_logsAreSentOnceAndNoneIsLost(t *testing.T) {
	m := newMachine(t)
	said, err := m.run(m.placed(m.built(bootScript(t, web(t, "profile=lean")))))
	require.NoError(t, err, said)
	send := func() (string, error) {
		m.write("calls", "", 0o600)
		require.NoError(t, os.RemoveAll(filepath.Join(m.root, "sent.gz")))
		return m.run(m.read("usr/local/bin/web-logs"))
	}
	sent := func() string {
		output, err := exec.Command("gzip", "--decompress", "--stdout", filepath.Join(m.root, "sent.gz")).Output()
		require.NoError(t, err)
		return string(output)
	}
	said, err = send()
	require.NoError(t, err, said)
	assert.Equal(t, "after the start\n", sent())
	assert.Contains(t, m.calls()[0], "--unit=cloud-final.service --unit=web.service", "boot and server")
	assert.Regexp(t, `^aws s3 cp --region region --only-show-errors lines.gz s3://Ref\.LogsBucket\w+/web/`+
		`\d{4}/\d\d/\d\d/i-0123456789abcdef0/\d\d-\d\d-\d\d\.log\.gz$`,
		m.calls()[1])
	cursor := m.read("var/lib/web-logs/cursor")

	m.write("failures", "1", 0o600)
	_, err = send()
	require.Error(t, err)
	assert.Equal(t, cursor, m.read("var/lib/web-logs/cursor"), "what was not sent is not passed over")

	said, err = send()
	require.NoError(t, err, said)
	assert.Equal(t, "after "+cursor, sent(), "it goes on from what was sent last")

	m.write("stand-ins/journalctl", quietJournal, 0o755)
	said, err = send()
	require.NoError(t, err, said)
	assert.Len(t, m.calls(), 1, "nothing new is nothing to send")
}

// TestBoot_differenceIsCaught: the comparison of metadata and boot script can fail.
func TestBoot_differenceIsCaught(t *testing.T) {
	stack := web(t, "profile=lean")
	environment := told(t, stack)
	for _, name := range slices.Collect(maps.Keys(environment)) {
		other := maps.Clone(environment)
		other[name] += "x"
		_, file, _ := strings.Cut(bootScript(t, stack), "/environment <<'END'\n")
		file, _, _ = strings.Cut(file, "END\n")
		assert.NotEqual(t, other, environmentFile(t, file))
		assert.Equal(t, environment, environmentFile(t, file))
	}
}
