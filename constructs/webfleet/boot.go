package webfleet

import (
	_ "embed"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
)

//go:embed boot.sh.tmpl
var bootText string

var boot = template.Must(template.New("boot").Parse(bootText))

// bootValues are what the script is made of.
type bootValues struct {
	Name, Description    string
	Shell                bool
	Region               string
	URL, SHA256          string
	LogBucket, LogPrefix string
	Environment          []variable
	StopSeconds          int

	GoMemoryMiB, MemoryMaxMiB, LogsMemoryMiB int
}

type variable struct{ Name, Value string }

// bootScript is what an instance runs at its first start. CDK's placeholders in it are replaced
// with the template.
func bootScript(scope constructs.Construct, p Props) string {
	values := bootValues{
		Name: p.Server.Name(), Description: p.Description, Shell: p.Shell,
		Region: *awscdk.Stack_Of(scope).Region(),
		URL:    *p.Server.URL(), SHA256: p.Server.SHA256(),
		LogBucket: *p.Logs.Name(), LogPrefix: p.LogPrefix,
		// What answers a request is told of the end first; systemd waits longer than the balancer.
		StopSeconds: int(p.Drain.Seconds()) + 5,
		// The server takes half of the memory; Go's collector works harder before the kernel ends
		// it. The AWS command line takes about 100 MiB.
		MemoryMaxMiB: p.MemoryMiB / 2, GoMemoryMiB: p.MemoryMiB * 2 / 5, LogsMemoryMiB: max(160, p.MemoryMiB/5),
	}
	for _, name := range slices.Sorted(maps.Keys(p.Environment)) {
		values.Environment = append(values.Environment, variable{name, *p.Environment[name]})
	}
	var script strings.Builder
	if err := boot.Execute(&script, values); err != nil {
		panic(fmt.Sprintf("webfleet: writing the boot script: %v", err)) // the template is part of this package
	}
	return script.String()
}

var variableSyntax = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)

// checkEnvironment refuses what systemd would read otherwise than it is written
// (systemd.exec, EnvironmentFile).
func checkEnvironment(environment map[string]*string) {
	for name, value := range environment {
		if !variableSyntax.MatchString(name) {
			panic(fmt.Sprintf("webfleet: a variable's name must be capitals, digits and underscores, got %q; rename it",
				name))
		}
		if strings.Contains(name, "PASSWORD") || strings.HasSuffix(name, "_SECRET") {
			panic(fmt.Sprintf("webfleet: no secret belongs in the environment, got %s; pass the secret's ARN and read "+
				"it at start", name))
		}
		if strings.ContainsAny(*value, "\"\\\n\r") {
			panic(fmt.Sprintf("webfleet: %s must have no quote, backslash or line end, got %q; systemd reads them "+
				"otherwise", name, *value))
		}
	}
}
