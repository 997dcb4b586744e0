package embeddings

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/semver"

	"diecast/internal/models"
	"diecast/internal/plaintext"
	"diecast/internal/vectorsize"
	"diecast/sql"
)

const (
	// indexVersion is the first pgvector whose HNSW builds are sound: earlier ones overflow or
	// corrupt the index.
	indexVersion = "v0.8.4"
	// The length of a unit vector may differ from one by what float32 rounding does to 32
	// dimensions, with room to spare.
	lengthTolerance = 1e-3
)

// Origin says who made a model.
type Origin string

const (
	// Shipped models come with Diecast.
	Shipped Origin = "shipped"
	// Trained models are the user's own. A shipped model never takes their place.
	Trained Origin = "trained"
)

// Activation says when a load switches to its model.
type Activation int

const (
	// Beside never switches: the model waits for Activate.
	Beside Activation = iota
	// WhenNone switches only where no model is active.
	WhenNone
	// Switch switches to the model, unless it is a shipped one and the active one is the user's
	// own.
	Switch
)

// Model is what a load puts into the store.
type Model struct {
	// Version has 12 hexadecimal digits, from the hash over the model's files: the same version is
	// the same model.
	Version string
	Origin  Origin
	// Towers says that user vectors come from a tower and that all vectors have length one, which
	// is then checked. Without towers the vectors are scaled to length one.
	Towers bool
	// Items and Users are CSV with the header id,embedding, an embedding being bracketed text of
	// models.Dimension numbers. Item ids are product codes, user ids customer numbers.
	Items, Users io.Reader
	// ItemCount and UserCount are the rows that there must be.
	ItemCount, UserCount int
	// Base is the model whose towers a refreshed one has; empty for one as training left it.
	Base string
	// Run is the one whose catalogue the model has; zero where that is not known.
	Run Run
	// Over is the active version that the model was made to follow. Where another one than this or
	// the model itself has become active, a *MovedError says so and nothing is loaded. Empty for a
	// model that follows none.
	Over string
	// Confirm is asked last, while no other change of the store is under way: whether the model's
	// files lie where inference reads them. An error undoes the load. Nil asks nobody.
	Confirm func(context.Context) error
}

// Run is a run of training data.
type Run struct {
	ID        string
	CreatedAt time.Time
	// Lake is the bucket that the run was read from; empty where only training knew the run.
	Lake string
}

// Loaded tells what a load did.
type Loaded struct {
	// Version is the one that was asked for.
	Version string `json:"model_version"`
	// New says that its embeddings were not in the store before.
	New bool `json:"new"`
	// Active is the version that is active now, empty where there is none.
	Active string `json:"active_version"`
	// Note says why the version is not active although that was asked for.
	Note string `json:"note,omitempty"`
}

// Load puts a model's embeddings beside those that are there, validates them, and switches to it as
// the activation says, all in one transaction. Loading a version that is there already only
// switches.
func (s *Store) Load(ctx context.Context, model Model, activation Activation) (Loaded, error) {
	if err := models.CheckVersion(model.Version); err != nil {
		return Loaded{}, err
	}
	loaded := Loaded{Version: model.Version}
	err := s.changeAsOwner(ctx, func(tx pgx.Tx) error {
		known, err := version(ctx, tx, model.Version)
		if err != nil {
			return err
		}
		active, err := active(ctx, tx)
		if err != nil {
			return err
		}
		loaded.Active = active.Version
		if known.State == Rejected {
			loaded.Note = "this version was rejected: " + known.Reason
			if model.Origin == Shipped {
				return nil // a deployment goes on with the model that it has
			}
			return errors.New(loaded.Note)
		}
		if model.Over != "" && active.Version != model.Over && active.Version != model.Version {
			return &MovedError{Asked: model.Over, Active: active.Version}
		}
		keep := keeps(active, model)
		if activation == Switch {
			loaded.Note = keep
		}
		if known.State != StateLoaded {
			if err := insert(ctx, tx, model); err != nil {
				return err
			}
			loaded.New = true
		}
		if loaded.New || model.Over != "" {
			if err := setRun(ctx, tx, model.Version, model.Base, model.Run); err != nil {
				return err
			}
		}
		if activation != Beside && keep == "" && (activation != WhenNone || active.Version == "") {
			if _, err := tx.Exec(ctx, sql.Activate, model.Version, s.by); err != nil {
				return fmt.Errorf("switch to it: %w", err)
			}
			loaded.Active = model.Version
		}
		if model.Confirm != nil {
			return model.Confirm(ctx)
		}
		return nil
	})
	if err != nil {
		return Loaded{}, fmt.Errorf("load model %s: %w", model.Version, err)
	}
	return loaded, nil
}

// keeps says why the active model stays whatever was asked for; empty where a switch is allowed.
func keeps(active Active, model Model) string {
	switch {
	case model.Origin != Shipped || active.Version == model.Version:
		return ""
	case active.Origin == Trained:
		return fmt.Sprintf("the active model %s is the user's own, which a shipped model never replaces",
			active.Version)
	case active.Lake != "" && model.Run.Lake == "":
		return fmt.Sprintf("the active model %s follows the catalogue of run %s, and a shipped model has the sample's "+
			"products: it waits beside until it is refreshed or approved", active.Version, active.RunID)
	}
	return ""
}

// setRun notes which run's catalogue a model has.
func setRun(ctx context.Context, tx pgx.Tx, version, base string, run Run) error {
	var at *time.Time
	if !run.CreatedAt.IsZero() {
		at = &run.CreatedAt
	}
	if _, err := tx.Exec(ctx, sql.SetRun, version, base, run.ID, at, run.Lake); err != nil {
		return fmt.Errorf("record the run: %w", err)
	}
	return nil
}

func insert(ctx context.Context, tx pgx.Tx, model Model) error {
	if model.ItemCount < 1 {
		return fmt.Errorf("it has %d items: there must be at least one", model.ItemCount)
	}
	items := partition{parent: "item_embeddings", version: model.Version, rows: model.ItemCount}
	users := partition{parent: "user_embeddings", version: model.Version, rows: model.UserCount}
	for _, load := range []struct {
		into partition
		from io.Reader
	}{{items, model.Items}, {users, model.Users}} {
		if err := load.into.fill(ctx, tx, load.from, model.Towers); err != nil {
			return fmt.Errorf("%s: %w", load.into.parent, err)
		}
	}
	search, err := items.index(ctx, tx)
	if err != nil {
		return fmt.Errorf("index the items: %w", err)
	}
	if _, err := tx.Exec(ctx, sql.InsertVersion, model.Version, model.Origin, model.Towers, search, model.ItemCount,
		model.UserCount); err != nil {
		return fmt.Errorf("record the version: %w", err)
	}
	return nil
}

// partition holds one model's rows of a table.
type partition struct {
	parent, version string
	rows            int
}

// name is safe to stand in SQL: a version consists of hexadecimal digits.
func (p partition) name() string { return "vectors." + p.parent + "_" + p.version }

// fill creates the table, copies and checks the rows, and only then makes it a partition: no reader
// sees it before.
func (p partition) fill(ctx context.Context, tx pgx.Tx, rows io.Reader, unit bool) error {
	if err := execute(ctx, tx,
		fmt.Sprintf("CREATE TABLE %s (LIKE vectors.%s INCLUDING CONSTRAINTS)", p.name(), p.parent),
		fmt.Sprintf("ALTER TABLE %s ALTER COLUMN model_version SET DEFAULT '%s'", p.name(), p.version)); err != nil {
		return err
	}
	rows, err := plaintext.Reader(rows)
	if err != nil {
		return fmt.Errorf("read the rows: %w", err)
	}
	copied, err := tx.Conn().PgConn().CopyFrom(ctx, rows,
		fmt.Sprintf("COPY %s (id, embedding) FROM STDIN WITH (FORMAT csv, HEADER match)", p.name()))
	if err != nil {
		return fmt.Errorf("copy the rows: %w", place(err))
	}
	if copied.RowsAffected() != int64(p.rows) {
		return fmt.Errorf("there are %d rows, the manifest says %d", copied.RowsAffected(), p.rows)
	}
	if err := p.checkLengths(ctx, tx, unit); err != nil {
		return err
	}
	return execute(ctx, tx,
		fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (model_version, id)", p.name()),
		fmt.Sprintf("ALTER TABLE vectors.%s ATTACH PARTITION %s FOR VALUES IN ('%s')", p.parent, p.name(), p.version),
		"ANALYZE "+p.name())
}

func (p partition) checkLengths(ctx context.Context, tx pgx.Tx, unit bool) error {
	var zero, other int
	err := tx.QueryRow(ctx, fmt.Sprintf(
		"SELECT count(*) FILTER (WHERE length = 0), count(*) FILTER (WHERE abs(length - 1) > $1) FROM (SELECT "+
			"public.vector_norm(embedding) AS length FROM %s) AS l",
		p.name()), lengthTolerance).Scan(&zero, &other)
	if err != nil {
		return fmt.Errorf("measure the vectors: %w", err)
	}
	switch {
	case unit && other > 0:
		return fmt.Errorf("%d of %d vectors do not have length one, as those of a model with towers must", other,
			p.rows)
	case zero > 0:
		return fmt.Errorf("%d of %d vectors have length zero and so no direction", zero, p.rows)
	case other > 0:
		return execute(ctx, tx, fmt.Sprintf("UPDATE %s SET embedding = public.l2_normalize(embedding)", p.name()))
	}
	return nil
}

// index builds an HNSW index where it pays and the extension builds sound ones, and returns how the
// items are searched.
func (p partition) index(ctx context.Context, tx pgx.Tx) (string, error) {
	extension, err := extensionVersion(ctx, tx)
	if err != nil {
		return "", err
	}
	if p.rows < models.IndexedItems || !indexes(extension) {
		return exact, nil
	}
	return hnsw, execute(ctx, tx,
		// Where the graph outgrows its memory, the rest of the build goes by the disk.
		fmt.Sprintf("SET LOCAL maintenance_work_mem = '%dMB'", vectorsize.BuildMiB(p.rows)),
		fmt.Sprintf("CREATE INDEX ON %s USING hnsw (embedding public.vector_ip_ops) "+
			"WITH (m = 16, ef_construction = 64)", p.name()))
}

// indexes says whether a version of the extension builds sound indexes.
func indexes(extension string) bool { return semver.Compare("v"+extension, indexVersion) >= 0 }

func extensionVersion(ctx context.Context, tx pgx.Tx) (version string, err error) {
	if err := tx.QueryRow(ctx, sql.ExtensionVersion).Scan(&version); err != nil {
		return "", fmt.Errorf("read the version of the extension: %w", err)
	}
	return version, nil
}

func execute(ctx context.Context, tx pgx.Tx, statements ...string) error {
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement, pgx.QueryExecModeExec); err != nil {
			return fmt.Errorf("statement %q: %w", statement, err)
		}
	}
	return nil
}
