package handler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
	"diecast/internal/metrics"
	"diecast/internal/models"
	"diecast/internal/models/modelstore"
	"diecast/lambda/internal/customresource"
	"diecast/lambda/internal/function"
	"diecast/sql"
)

// answerMargin is kept of the function's time to tell, and to give back what was begun: a load that
// the time-out ends would say nothing.
const answerMargin = 10 * time.Second

// physicalID is the custom resource's.
const physicalID = "vector-store"

// Backend is what the loader works on.
type Backend struct {
	Store  *embeddings.Store
	Bucket modelstore.Bucket
	// Upload writes into the bucket.
	Upload modelstore.Putter
}

// Handler answers the events of the custom resource and the requests of operators.
type Handler struct {
	// Open connects to the backend; it is not called where nothing is to be done.
	Open func(context.Context) (Backend, error)
	// Shipped is the model that came with this program, and its version.
	Shipped func() (fs.FS, string, error)
	Metrics metrics.Writer
	Logger  *slog.Logger
}

// Properties of the custom resource. Others, such as a hash that makes CloudFormation run it again,
// are not read.
type Properties struct {
	// ModelVersion is the shipped model to load; without one the store stays as it is.
	ModelVersion string `json:"ModelVersion"`
}

// ResourceAnswer is what the framework takes.
type ResourceAnswer = customresource.Answer

// Request is what operators and the state machine send.
type Request struct {
	// Action is status, load, approve, reject, rollback or query.
	Action string `json:"action"`
	// ModelVersion names the model to load, approve or reject.
	ModelVersion string `json:"model_version,omitempty"`
	// Activate makes a load switch to its model at once; else that waits for approve.
	Activate bool `json:"activate,omitempty"`
	// Reason of a rejection.
	Reason string `json:"reason,omitempty"`
	// Statement to query with.
	Statement string `json:"statement,omitempty"`
}

// Handle answers a ResourceEvent with a ResourceAnswer, and a Request with the state that it asked
// for or left behind.
func (h Handler) Handle(ctx context.Context, payload json.RawMessage) (any, error) {
	ctx, cancel := function.Keep(ctx, answerMargin)
	defer cancel()
	var kind struct {
		RequestType *string `json:"RequestType"`
		Action      *string `json:"action"`
	}
	if err := json.Unmarshal(payload, &kind); err != nil {
		return nil, fmt.Errorf("the event is not a JSON object: %w", err)
	}
	switch {
	case kind.RequestType != nil:
		return h.resource(ctx, payload)
	case kind.Action != nil:
		return h.operate(ctx, payload)
	}
	return nil, errors.New(`the event has neither RequestType, as a custom resource sends it, nor action: ` +
		allowedActions)
}

func (h Handler) resource(ctx context.Context, payload json.RawMessage) (ResourceAnswer, error) {
	return customresource.Resource[Properties]{ID: physicalID, Make: h.deploy, Logger: h.Logger}.Handle(ctx, payload)
}

// deploy migrates the store, and loads the shipped model.
func (h Handler) deploy(ctx context.Context, change customresource.Change[Properties]) (map[string]string, error) {
	backend, err := h.Open(ctx)
	if err != nil {
		return nil, err
	}
	schema, err := backend.Store.Migrate(ctx)
	if err != nil {
		return nil, err
	}
	active, err := h.ship(ctx, backend, change, schema)
	if err != nil {
		return nil, err
	}
	h.measure(ctx, backend)
	return map[string]string{"SchemaVersion": strconv.Itoa(schema), "ModelVersion": active}, nil
}

// ship loads the shipped model and returns the version that is active afterwards.
func (h Handler) ship(
	ctx context.Context, backend Backend, change customresource.Change[Properties], schema int,
) (string, error) {
	wanted := change.Wanted.ModelVersion
	if wanted == "" || schema > sql.VectorSchemaVersion {
		status, err := backend.Store.Active(ctx)
		if errors.Is(err, embeddings.ErrNoActiveModel) {
			return "", nil
		}
		return status.Version, err
	}
	if err := h.uploadShipped(ctx, backend, wanted); err != nil {
		return "", err
	}
	activation := embeddings.Switch
	if change.Update && change.Old.ModelVersion == wanted {
		// Only something else has changed: who went back to another model meanwhile meant it.
		activation = embeddings.WhenNone
	}
	loaded, err := h.load(ctx, backend, wanted, activation)
	return loaded.Active, err
}

// uploadShipped puts the model that came with this program into the bucket, where everything else
// finds it. Another version must be there already.
func (h Handler) uploadShipped(ctx context.Context, backend Backend, wanted string) error {
	folder, version, err := h.Shipped()
	if err != nil || version != wanted {
		return err
	}
	return backend.Bucket.Upload(ctx, backend.Upload, version, folder)
}

const allowedActions = "status, load, approve, reject, rollback and query are allowed"

func (h Handler) operate(ctx context.Context, payload json.RawMessage) (any, error) {
	var request Request
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields() // a misspelt "activate" must not load and then do nothing
	if err := decoder.Decode(&request); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	operations := map[string]func(Backend) (any, error){
		"status": func(b Backend) (any, error) { return b.Store.Status(ctx) },
		"load": func(b Backend) (any, error) {
			activation := embeddings.Beside
			if request.Activate {
				activation = embeddings.Switch
			}
			return h.load(ctx, b, request.ModelVersion, activation)
		},
		"approve": func(b Backend) (any, error) {
			active, err := b.Store.Activate(ctx, request.ModelVersion)
			if err == nil {
				h.retire(ctx, b)
			}
			return active, err
		},
		"reject": func(b Backend) (any, error) {
			if request.Reason == "" {
				return nil, errors.New("reject: give a reason, it is kept with the model")
			}
			if err := b.Store.Reject(ctx, request.ModelVersion, request.Reason); err != nil {
				return nil, err
			}
			return b.Store.Status(ctx)
		},
		"rollback": func(b Backend) (any, error) { return b.Store.Rollback(ctx) },
		"query":    func(b Backend) (any, error) { return b.Store.Query(ctx, request.Statement) },
	}
	operation, known := operations[request.Action]
	if !known {
		return nil, fmt.Errorf("action is %q: %s", request.Action, allowedActions)
	}
	backend, err := h.Open(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := operation(backend)
	if err == nil {
		h.measure(ctx, backend)
	}
	return answer, err
}

// measure counts what has no index. A failure is logged: what was asked for is done.
func (h Handler) measure(ctx context.Context, backend Backend) {
	status, err := backend.Store.Status(ctx)
	if err == nil {
		err = h.Metrics.Write(metrics.Counts{metrics.UnindexedItems: status.Unindexed()})
	}
	if err != nil {
		h.Logger.WarnContext(ctx, "items without an index are not counted", slog.Any("error", err))
	}
}

// load downloads, verifies and loads one model.
func (h Handler) load(ctx context.Context, backend Backend, version string,
	activation embeddings.Activation) (embeddings.Loaded, error) {
	if err := models.CheckVersion(version); err != nil {
		return embeddings.Loaded{}, err
	}
	folder, err := os.MkdirTemp("", "model-")
	if err != nil {
		return embeddings.Loaded{}, err
	}
	defer os.RemoveAll(folder)
	if err := backend.Bucket.Download(ctx, version, folder); err != nil {
		return embeddings.Loaded{}, err
	}
	model, err := artifacts.Verify(os.DirFS(folder))
	if err != nil {
		return embeddings.Loaded{}, fmt.Errorf("model %s is refused: %w", version, err)
	}
	items, err := os.Open(filepath.Join(folder, filepath.FromSlash(artifacts.ItemEmbeddings)))
	if err != nil {
		return embeddings.Loaded{}, err
	}
	defer items.Close()
	users, err := os.Open(filepath.Join(folder, filepath.FromSlash(artifacts.UserEmbeddings)))
	if err != nil {
		return embeddings.Loaded{}, err
	}
	defer users.Close()
	loaded, err := backend.Store.Load(ctx, embeddings.Model{
		Version: version, Origin: embeddings.Origin(model.Manifest.Origin),
		Towers: model.Manifest.Mode == artifacts.Towers,
		Items:  items, Users: users, ItemCount: len(model.Items), UserCount: len(model.Users),
	}, activation)
	if err != nil {
		return embeddings.Loaded{}, err
	}
	h.Logger.InfoContext(ctx, "model loaded", slog.Any("result", loaded))
	h.retire(ctx, backend)
	return loaded, nil
}

// retire removes old models. That the new one serves is what counts: a failure is logged, and the
// next load tries again.
func (h Handler) retire(ctx context.Context, backend Backend) {
	retired, err := backend.Store.Retire(ctx)
	if err != nil {
		h.Logger.WarnContext(ctx, "old models are still in the vector store", slog.Any("error", err))
		return
	}
	if len(retired) > 0 {
		h.Logger.InfoContext(ctx, "old models removed", slog.Any("model_versions", retired))
	}
}
