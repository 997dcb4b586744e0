package deployment

import (
	"errors"
	"slices"

	"diecast/internal/deployment/outputs"
)

// Streaming names what the stack Streaming has made, as far as commands use it.
type Streaming struct {
	// Stream takes activity events in.
	Stream string
	// Bucket is the archive, laid out as internal/archive says; Table is what the shop reads, see
	// internal/recommendation/row.
	Bucket, Table string
}

// Streaming reads the outputs of the stack. The error names all that are missing.
func (d *Deployment) Streaming() (Streaming, error) {
	r := reader{deployment: d}
	names := Streaming{
		Stream: r.value(outputs.StreamName),
		Bucket: r.value(outputs.RecommendationsBucketName),
		Table:  r.value(outputs.RecommendationsTableName),
	}
	return names, errors.Join(r.problems...)
}

// Vectors names what the stack Vectors has made, as far as commands use it.
type Vectors struct {
	// Loader is the function that operates the vector store, as internal/vectorloader says;
	// Artifacts is the bucket of models, laid out as internal/models says.
	Loader, Artifacts string
}

// Vectors reads the outputs of the stack. The error names all that are missing.
func (d *Deployment) Vectors() (Vectors, error) {
	r := reader{deployment: d}
	names := Vectors{
		Loader: r.value(outputs.VectorsLoaderFunctionName), Artifacts: r.value(outputs.ArtifactsBucketName),
	}
	return names, errors.Join(r.problems...)
}

// Batch names what the stack Batch has made, as far as commands use it.
type Batch struct {
	// Job publishes training data and sales mart into Lake, laid out as internal/trainingset says.
	Job, Lake string
	// Machine is the ARN of the state machine that runs it.
	Machine string
}

// Batch reads the outputs of the stack. The error names all that are missing.
func (d *Deployment) Batch() (Batch, error) {
	r := reader{deployment: d}
	names := Batch{
		Job: r.value(outputs.ETLJobName), Lake: r.value(outputs.LakeBucketName),
		Machine: r.value(outputs.ETLStateMachineARN),
	}
	return names, errors.Join(r.problems...)
}

// Web names what the stack Web has made, as far as commands use it.
type Web struct {
	// Page is the address of the pages, Group the Auto Scaling group of their servers.
	Page, Group string
}

// Web reads the outputs of the stack. The error names all that are missing.
func (d *Deployment) Web() (Web, error) {
	r := reader{deployment: d}
	names := Web{Page: r.value(outputs.PageAddress), Group: r.value(outputs.WebGroupName)}
	return names, errors.Join(r.problems...)
}

// reader reads outputs and collects what is missing.
type reader struct {
	deployment *Deployment
	problems   []error
}

func (r *reader) value(output outputs.Output) string {
	value, err := r.deployment.Value(output)
	if err != nil && !slices.ContainsFunc(r.problems, func(told error) bool { return told.Error() == err.Error() }) {
		r.problems = append(r.problems, err) // a stack that is missing is told once
	}
	return value
}
