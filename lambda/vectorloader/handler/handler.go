package handler

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"time"
	"unicode/utf8"

	"diecast/internal/embeddings"
	"diecast/internal/metrics"
	"diecast/internal/models/modelstore"
	"diecast/internal/refresh"
	"diecast/internal/trainingset/publishedrun"
	"diecast/internal/vectorloader"
	"diecast/internal/vectorloader/answer"
	"diecast/internal/vectorsize"
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
	// Keeper writes, lists and removes in the bucket.
	Keeper modelstore.Keeper
	// Lake reads runs of training data.
	Lake publishedrun.Getter
	// Limits are those of a refresh.
	Limits refresh.Limits
	// Memory bounds the models that are loaded.
	Memory vectorsize.Memory
}

// Handler answers the events of the custom resource and the requests of operators.
type Handler struct {
	// Open connects to the backend; it is not called where nothing is to be done.
	Open func(context.Context) (Backend, error)
	// Shipped is the model that came with this program, and its version.
	Shipped func() (fs.FS, string, error)
	Metrics metrics.Writer
	Logger  *slog.Logger
	// Clock tells the time. Default time.Now.
	Clock func() time.Time
}

// Properties of the custom resource. Others, such as a hash that makes CloudFormation run it again,
// are not read.
type Properties struct {
	// ModelVersion is the shipped model to load; without one the store stays as it is.
	ModelVersion string `json:"ModelVersion"`
}

// ResourceAnswer is what the framework takes.
type ResourceAnswer = customresource.Answer

// Request is documented there.
type Request = vectorloader.Request

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
	backend.Store = backend.Store.As("a deployment")
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
	active, err := backend.Store.Active(ctx)
	if err != nil && !errors.Is(err, embeddings.ErrNoActiveModel) {
		return "", err
	}
	if active.Origin == embeddings.Shipped && active.Lake != "" {
		if cmp.Or(active.Base, active.Version) == wanted {
			return active.Version, nil // it has these towers, and follows a catalogue
		}
		if activation == embeddings.Switch {
			return h.shipRefreshed(ctx, backend, wanted, active)
		}
	}
	loaded, err := h.load(ctx, backend, wanted, activation)
	return loaded.Active, err
}

// shipRefreshed takes over the towers of a shipped model where the active one, which was shipped
// before, follows a catalogue: the new one must follow it, too, before it serves. Where that fails
// the new one waits beside, and the deployment goes on.
func (h Handler) shipRefreshed(ctx context.Context, backend Backend, wanted string, active embeddings.Active) (string,
	error) {
	refreshed, err := h.refresh(ctx, backend, refreshOf{base: wanted, lake: active.Lake})
	if err == nil {
		return refreshed.Active, nil
	}
	h.Logger.WarnContext(ctx, "the shipped model waits beside: it cannot be refreshed",
		slog.String("model_version", wanted), slog.Any("error", err))
	loaded, err := h.load(ctx, backend, wanted, embeddings.Beside)
	return loaded.Active, err
}

// uploadShipped puts the model that came with this program into the bucket, where everything else
// finds it. Another version must be there already.
func (h Handler) uploadShipped(ctx context.Context, backend Backend, wanted string) error {
	folder, version, err := h.Shipped()
	if err != nil || version != wanted {
		return err
	}
	return backend.Bucket.Upload(ctx, backend.Keeper, version, folder)
}

const allowedActions = "status, load, refresh, approve, reject, rollback and query are allowed"

func (h Handler) operate(ctx context.Context, payload json.RawMessage) (any, error) {
	var request Request
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields() // a misspelt "activate" must not load and then do nothing
	if err := decoder.Decode(&request); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	if utf8.RuneCountInString(request.By) > vectorloader.MaxBy {
		return nil, fmt.Errorf("request: by has more than %d characters", vectorloader.MaxBy)
	}
	operations := map[string]func(Backend) (any, error){
		vectorloader.Status: func(b Backend) (any, error) { return h.status(ctx, b) },
		vectorloader.Load: func(b Backend) (any, error) {
			activation := embeddings.Beside
			if request.Activate {
				activation = embeddings.Switch
			}
			return h.load(ctx, b, request.ModelVersion, activation)
		},
		vectorloader.Refresh: func(b Backend) (any, error) {
			return h.refresh(ctx, b, refreshOf{lake: request.Lake, run: request.Run})
		},
		vectorloader.Approve: func(b Backend) (any, error) { return h.approve(ctx, b, request.ModelVersion) },
		vectorloader.Reject: func(b Backend) (any, error) {
			if request.Reason == "" {
				return nil, errors.New("reject: give a reason, it is kept with the model")
			}
			if err := b.Store.Reject(ctx, request.ModelVersion, request.Reason); err != nil {
				return nil, err
			}
			h.retire(ctx, b)
			return h.status(ctx, b)
		},
		vectorloader.Rollback: func(b Backend) (any, error) { return b.Store.Rollback(ctx) },
		vectorloader.Query:    func(b Backend) (any, error) { return b.Store.Query(ctx, request.Statement) },
	}
	operation, known := operations[request.Action]
	if !known {
		return nil, fmt.Errorf("action is %q: %s", request.Action, allowedActions)
	}
	backend, err := h.Open(ctx)
	if err != nil {
		return nil, err
	}
	if request.By != "" {
		backend.Store = backend.Store.As(request.By)
	}
	done, err := operation(backend)
	if err == nil {
		h.measure(ctx, backend)
	}
	return done, err
}

func (h Handler) status(ctx context.Context, backend Backend) (answer.Status, error) {
	status, err := backend.Store.Status(ctx)
	if err != nil {
		return answer.Status{}, err
	}
	return answer.StatusOf(status, h.now()), nil
}

func (h Handler) now() time.Time {
	if h.Clock == nil {
		return time.Now()
	}
	return h.Clock()
}

// measure counts what has no index, and how old the active model's run is. A failure is logged:
// what was asked for is done.
func (h Handler) measure(ctx context.Context, backend Backend) {
	status, err := h.status(ctx, backend)
	if err == nil {
		counts := metrics.Counts{metrics.UnindexedItems: status.Unindexed()}
		if status.RunAgeHours != nil {
			counts[metrics.RunAgeHours] = *status.RunAgeHours
		}
		err = h.Metrics.Write(counts)
	}
	if err != nil {
		h.Logger.WarnContext(ctx, "the store is not measured", slog.Any("error", err))
	}
}
