package webfleet

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3assets"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/goserver"
	"diecast/constructs/role"
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
	Files                []bootFile
	Environment          []variable
	StopSeconds          int

	GoMemoryMiB, MemoryMaxMiB, LogsMemoryMiB int
}

type variable struct{ Name, Value string }

// bootFile is a file that an instance fetches.
type bootFile struct{ Path, URL, SHA256 string }

// PathOf is where a server finds one of its Files.
func PathOf(server *goserver.Server, file string) string {
	return path.Join("/etc", server.Name(), file)
}

// bootFiles uploads the files, and lets the instances fetch them.
func bootFiles(scope constructs.Construct, p Props, runner *role.Role) []bootFile {
	files := make([]bootFile, 0, len(p.Files))
	for _, name := range slices.Sorted(maps.Keys(p.Files)) {
		content, err := os.ReadFile(p.Files[name])
		if err != nil || name != path.Base(name) {
			panic(fmt.Sprintf("webfleet: Files must be there under plain names, got %q for %q; %v", p.Files[name], name,
				err))
		}
		uploaded := awss3assets.NewAsset(scope, jsii.String("File-"+name), &awss3assets.AssetProps{
			Path: jsii.String(p.Files[name]),
		})
		runner.Allow("ReadFile", []string{"s3:GetObject"}, uploaded.Bucket().ArnForObjects(uploaded.S3ObjectKey()))
		files = append(files, bootFile{Path: PathOf(p.Server, name), URL: *uploaded.S3ObjectUrl(),
			SHA256: fmt.Sprintf("%x", sha256.Sum256(content))})
	}
	return files
}

// bootScript is what an instance runs at its first start. CDK's placeholders in it are replaced
// with the template.
func bootScript(scope constructs.Construct, p Props, files []bootFile) string {
	values := bootValues{
		Name: p.Server.Name(), Description: p.Description, Shell: p.Shell,
		Region: *awscdk.Stack_Of(scope).Region(),
		URL:    *p.Server.URL(), SHA256: p.Server.SHA256(),
		Files:     files,
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
