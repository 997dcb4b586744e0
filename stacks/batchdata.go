package stacks

import (
	"strconv"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"

	"diecast/config"
	"diecast/constructs/dataload"
	"diecast/internal/deployment/outputs"
	"diecast/sql"
)

// BatchData runs the source loader at deployment, apart from the database, so that a failing load
// never rolls the database back.
type BatchData struct {
	Stack awscdk.Stack
}

// NewBatchData adds the stack.
func NewBatchData(app constructs.Construct, cfg config.Config, batch *Batch) *BatchData {
	stack := newStack(app, cfg, outputs.BatchData, "Runs the source loader: schema, users and the first data")
	load := dataload.New(stack, "Load", dataload.Props{
		ResourceType: "Custom::SourceLoad",
		Loader:       batch.Loader,
		// A source that has data keeps it whatever these say.
		Properties: map[string]string{
			"SchemaHash": sql.SourceHash(),
			"Generation": batch.generation,
			"Kind":       cfg.Source.Kind,
			"Scale":      strconv.FormatFloat(cfg.Source.Scale, 'f', -1, 64),
			"Seed":       strconv.Itoa(cfg.Source.Seed),
			"DumpUri":    cfg.Source.DumpURI,
		},
		Timeout:      seconds(sourceLoaderTimeoutSeconds + 60),
		LogRetention: logRetention(cfg.Functions.LogRetentionDays),
	})
	output(stack, outputs.SourceSchemaVersion, load.Attribute("SchemaVersion"))
	output(stack, outputs.SourceRows, load.Attribute("Rows"))
	return &BatchData{Stack: stack}
}
