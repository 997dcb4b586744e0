package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"sync"
	"testing/fstest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"diecast/internal/artifacts"
	"diecast/internal/deployment/outputs"
	"diecast/internal/models/modelstore"
	"diecast/internal/recommendation"
	shipped "diecast/training/artifacts"
)

// catalogue knows every model that a run may answer with, so that a record which mixes two is
// found.
type catalogue struct {
	shipped, other model
}

// model is a folder of artifacts, and what its records may hold.
type model struct {
	version string
	folder  fs.FS
	vectors map[string][]float32
}

// newCatalogue has the shipped model, and one that differs from it in everything that a record
// tells: half of the products have other names, and every product has another one's vector.
var newCatalogue = sync.OnceValues(func() (catalogue, error) {
	folder, version, err := shipped.Model()
	if err != nil {
		return catalogue{}, err
	}
	verified, err := artifacts.Verify(folder)
	if err != nil {
		return catalogue{}, err
	}
	other, err := otherModel(folder, verified)
	return catalogue{shipped: newModel(version, folder, verified), other: other}, err
})

func newModel(version string, folder fs.FS, verified artifacts.Model) model {
	m := model{version: version, folder: folder, vectors: map[string][]float32{}}
	for _, item := range verified.Items {
		m.vectors[item.ID] = item.Vector
	}
	return m
}

func otherModel(folder fs.FS, from artifacts.Model) (model, error) {
	users, err := fs.ReadFile(folder, artifacts.UserEmbeddings)
	if err != nil {
		return model{}, err
	}
	var items strings.Builder
	items.WriteString("id,embedding\n")
	var popularity []artifacts.Popular
	for i, item := range from.Items {
		id := item.ID
		if i%2 == 1 {
			id = "other_" + id
		}
		fmt.Fprintf(&items, "%s,%q\n", id, artifacts.FormatVector(from.Items[(i+1)%len(from.Items)].Vector))
		popularity = append(popularity, artifacts.Popular{ID: id, Score: 1 - float64(i)/1000})
	}
	made := fstest.MapFS{
		artifacts.ItemEmbeddings: {Data: []byte(items.String())}, artifacts.UserEmbeddings: {Data: users},
	}
	manifest, err := artifacts.Adopt(made, popularity)
	if err != nil {
		return model{}, err
	}
	data, err := manifest.Encode()
	if err != nil {
		return model{}, err
	}
	made[artifacts.ManifestName] = &fstest.MapFile{Data: data}
	verified, err := artifacts.Verify(made)
	return newModel(manifest.ModelVersion, made, verified), err
}

// check refuses a record that another model than the one that it names had a part in.
func (c catalogue) check(record recommendation.Record) error {
	var of model
	switch record.ModelVersion {
	case c.shipped.version:
		of = c.shipped
	case c.other.version:
		of = c.other
	default:
		return fmt.Errorf("no model has the version %s", record.ModelVersion)
	}
	for _, item := range record.Items {
		if of.vectors[item.ID] == nil {
			return fmt.Errorf("it mixes models: %s is recommended, which model %s does not have", item.ID, of.version)
		}
	}
	for _, similar := range record.Similar {
		for _, neighbour := range similar.Items {
			want, ok := of.distance(similar.ProductCode, neighbour.ID)
			// Distances have seven digits, of vectors that have as many.
			if !ok || math.Abs(want-neighbour.Distance) > 1e-5 {
				return fmt.Errorf("it mixes models: %s is %v from %s, in model %s %v", neighbour.ID, neighbour.Distance,
					similar.ProductCode, of.version, want)
			}
		}
	}
	return nil
}

func (m model) distance(one, other string) (float64, bool) {
	left, right := m.vectors[one], m.vectors[other]
	if left == nil || right == nil {
		return 0, false
	}
	product := 0.0
	for i := range left {
		product += float64(left[i]) * float64(right[i])
	}
	return 1 - product, true
}

// loadOther loads the other model beside the active one.
func (r *run) loadOther(ctx context.Context) error {
	models, err := newCatalogue()
	if err != nil {
		return err
	}
	name, err := r.output(outputs.ArtifactsBucketName)
	if err != nil {
		return err
	}
	bucket := modelstore.Bucket{Client: r.to.S3, Name: name}
	if err := bucket.Upload(ctx, r.to.S3, models.other.version, models.other.folder); err != nil {
		return err
	}
	return r.askLoader(ctx, map[string]any{"action": "load", "model_version": models.other.version})
}

// switchTo makes a model the active one.
func (r *run) switchTo(ctx context.Context, version string) error {
	return r.askLoader(ctx, map[string]any{"action": "approve", "model_version": version})
}

func (r *run) askLoader(ctx context.Context, request map[string]any) error {
	functions, err := r.deployed.Lambda(ctx)
	loader, nameErr := r.output(outputs.VectorsLoaderFunctionName)
	payload, payloadErr := json.Marshal(request)
	if err := errors.Join(err, nameErr, payloadErr); err != nil {
		return err
	}
	answer, err := functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &loader, Payload: payload})
	if err != nil {
		return err
	}
	if answer.FunctionError != nil {
		return fmt.Errorf("%v: %s: %s", request["action"], aws.ToString(answer.FunctionError), answer.Payload)
	}
	return nil
}
