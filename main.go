// Command app is the CDK app, built as bin/app by cdk.json and run by the CDK CLI: it reads the
// configuration, builds the platform's stacks and writes their templates. The command that people
// run is cmd/diecast, built as bin/diecast.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"diecast/config"
	"diecast/constructs/gobuild"
	"diecast/constructs/golambda"
	"diecast/constructs/goserver"
	"diecast/internal/kernel"
	_ "diecast/internal/surroundings/settle" // before CDK starts Node
	"diecast/stacks"
)

func main() {
	os.Exit(run())
}

// run returns the exit code. CDK reports its errors as panics; they are caught
// here, once, and told in one message without a stack trace.
func run() (code int) {
	defer kernel.Close(jsii.Close)
	// Compiling and the start of CDK take about as long as each other: side by side.
	defer gobuild.Ahead(golambda.Target)()
	defer func() {
		if failure := recover(); failure != nil {
			fmt.Fprintln(os.Stderr, "diecast:", strings.TrimSpace(fmt.Sprint(failure)))
			code = 1
		}
	}()
	app := awscdk.NewApp(nil)
	context, _ := app.Node().GetAllContext(nil).(map[string]any)
	cfg, err := config.Load(context)
	if err != nil {
		fmt.Fprintln(os.Stderr, "diecast:", err)
		return 1
	}
	// The laptop runs under any region's setting: CloudFormation refuses, synthesis only tells.
	for _, notice := range append(cfg.Notices(), cfg.RegionNotices(os.Getenv("CDK_DEFAULT_REGION"))...) {
		fmt.Fprintln(os.Stderr, "diecast:", notice)
	}
	defer gobuild.Ahead(goserver.Target(stacks.WebServer(cfg)))()
	stacks.New(app, cfg)
	app.Synth(nil)
	return 0
}
