package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"

	"diecast/config"
	"diecast/constructs/dataload"
	"diecast/internal/deployment/outputs"
	"diecast/sql"
	shipped "diecast/training/artifacts"
)

// VectorsData runs the vector loader at deployment, apart from the database, so
// that a failing load never rolls the database back.
type VectorsData struct {
	Stack awscdk.Stack
}

// NewVectorsData adds the stack.
func NewVectorsData(app constructs.Construct, cfg config.Config, vectors *Vectors) *VectorsData {
	stack := newStack(app, cfg, outputs.VectorsData, "Runs the vector loader: schema, roles and the first model")
	_, model, err := shipped.Model()
	if err != nil {
		panic(err)
	}
	load := dataload.New(stack, "Load", dataload.Props{
		ResourceType: "Custom::VectorLoad",
		Loader:       vectors.Loader,
		Properties: map[string]string{
			// A change of the SQL runs the loader again.
			"SchemaHash": sql.VectorHash(),
			// So does another database in the place of the one that was filled.
			"Generation": vectors.generation,
			// The model that came with the loader: it replaces only another such.
			"ModelVersion": model,
		},
		Timeout:      seconds(loaderTimeoutSeconds + 60),
		LogRetention: logRetention(cfg.Functions.LogRetentionDays),
	})
	output(stack, outputs.VectorsSchemaVersion, load.Attribute("SchemaVersion"))
	output(stack, outputs.ModelVersion, load.Attribute("ModelVersion"))
	return &VectorsData{Stack: stack}
}
