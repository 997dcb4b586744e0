package artifacts

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"time"

	"diecast/internal/models"
	"diecast/internal/strictjson"
)

// The limits of a manifest.
const (
	MaxManifestBytes = 8 << 20
	maxManifestDepth = 8
	maxFiles         = 1000
	maxRows          = 1 << 31
	maxFileSize      = 1 << 43
	maxInteger       = 1 << 53
	maxMetrics       = 100
	maxGolden        = 100
	maxPopularity    = 1000
	maxTolerance     = 0.01
)

// Mode says what a model can do.
type Mode string

const (
	// Towers embed any customer and product from their features.
	Towers Mode = "towers"
	// EmbeddingsOnly is a model without towers, such as the course's CSV files: customers that the
	// user embeddings know are served from there, all others with the most popular products.
	EmbeddingsOnly Mode = "embeddings_only"
)

// Origin says whose a model is. A shipped model replaces only a shipped one, never one that the
// user trained.
type Origin string

const (
	Shipped Origin = "shipped"
	Trained Origin = "trained"
)

// Manifest describes a model.
type Manifest struct {
	SchemaVersion int             `json:"schema_version"`
	ModelVersion  string          `json:"model_version"`
	Mode          Mode            `json:"mode"`
	Dimension     int             `json:"dimension"`
	Metric        string          `json:"metric"`
	Files         map[string]File `json:"files"`
	Items         Count           `json:"items"`
	Users         Count           `json:"users"`
	// Towers is nil in mode EmbeddingsOnly.
	Towers *TowerPair `json:"towers,omitempty"`
	Origin Origin     `json:"origin"`
	// Training is nil where it is not known, which mode EmbeddingsOnly allows.
	Training *Training `json:"training,omitempty"`
	// Refresh is nil in a model as training left it.
	Refresh *Refresh `json:"refresh,omitempty"`
	// Metrics are the evaluation's, by name.
	Metrics map[string]float64 `json:"metrics"`
	// Golden is nil in mode EmbeddingsOnly.
	Golden *Golden `json:"golden,omitempty"`
	// Popularity ranks products, best first; never empty in mode Towers. Where the model has
	// PopularityFile it says the same.
	Popularity []Popular `json:"popularity"`
}

// Count is how many rows an embeddings file has.
type Count struct {
	Rows int64 `json:"rows"`
}

// TowerPair are the two halves of the model.
type TowerPair struct {
	User Tower `json:"user"`
	Item Tower `json:"item"`
}

// Tower is an ONNX graph from features to a unit vector of models.Dimension.
type Tower struct {
	Path   string  `json:"path"`
	Inputs []Input `json:"inputs"`
	Output string  `json:"output"`
}

// Input is an input of a tower's graph.
type Input struct {
	Name string `json:"name"`
	// Type is string or float.
	Type string `json:"type"`
}

// UserInputs and ItemInputs are the inputs that every tower has, in this order; text is normalised
// by the caller (activity.Normalise).
func UserInputs() []Input {
	return []Input{{"city", "string"}, {"country", "string"}, {"credit_limit", "float"}}
}

// ItemInputs are documented with UserInputs.
func ItemInputs() []Input {
	return []Input{{"product_line", "string"}, {"product_scale", "string"}, {"quantity_in_stock", "float"},
		{"buy_price", "float"}, {"msrp", "float"}}
}

// UserForm and ItemForm are what every manifest says of its towers.
func UserForm() Tower { return Tower{UserTower, UserInputs(), TowerOutput} }

// ItemForm is documented with UserForm.
func ItemForm() Tower { return Tower{ItemTower, ItemInputs(), TowerOutput} }

// Training is the run that a model was learned from.
type Training struct {
	RunID    string `json:"run_id"`
	Strategy string `json:"strategy"`
	Rows     int64  `json:"rows"`
	Seed     int64  `json:"seed"`
	// CreatedAt is when the training set was made.
	CreatedAt time.Time `json:"created_at"`
}

// Refresh is where the embeddings and the ranking of a model come from that has another one's
// towers.
type Refresh struct {
	// BaseModelVersion is the model that the towers were trained for.
	BaseModelVersion string `json:"base_model_version"`
	// RunID names the published run whose products and customers were embedded.
	RunID string `json:"run_id"`
	// CreatedAt is when that run was made.
	CreatedAt time.Time `json:"created_at"`
	// Lake is the bucket that the run was read from.
	Lake string `json:"lake"`
}

// Golden are inputs and the outputs that the towers gave in training: whoever evaluates them must
// come within Tolerance, element by element.
type Golden struct {
	Tolerance float64       `json:"tolerance"`
	User      []GoldenValue `json:"user"`
	Item      []GoldenValue `json:"item"`
}

// GoldenValue is one evaluation. Input holds a string or a float64 for each of the tower's inputs;
// Output has models.Dimension numbers.
type GoldenValue struct {
	Input  map[string]any `json:"input"`
	Output []float64      `json:"output"`
}

// Popular is one product of the popularity ranking.
type Popular struct {
	ID    string  `json:"id"`
	Score float64 `json:"score"`
}

// runIDMeaning and bucketMeaning are what the patterns mean, for messages.
const (
	runIDMeaning  = "a run id: 1 to 128 letters, digits, dots, dashes and underscores, the first a letter or digit"
	bucketMeaning = "the name of a bucket: 3 to 63 lower-case letters, digits, dots and dashes"
)

var (
	sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
	pathPattern   = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$`)
	runIDPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	itemIDPattern = regexp.MustCompile(`^[!-~]{1,64}$`)
)

// DecodeManifest reads a manifest by itself; Verify compares it with its folder. The error is a
// *strictjson.Error that names every violation. Fields that it does not know are ignored.
func DecodeManifest(data []byte) (Manifest, error) {
	document, err := strictjson.Parse(data, strictjson.Limits{MaxBytes: MaxManifestBytes, MaxDepth: maxManifestDepth})
	if err != nil {
		return Manifest{}, err
	}
	root := document.Root()
	if !root.Object() {
		return Manifest{}, document.Err()
	}
	manifest := Manifest{
		SchemaVersion: int(root.Field("schema_version").Integer(1, 1)),
		ModelVersion:  root.Field("model_version").Pattern(models.VersionPattern, models.VersionRule),
		Mode:          Mode(root.Field("mode").OneOf(string(Towers), string(EmbeddingsOnly))),
		Dimension:     int(root.Field("dimension").Integer(models.Dimension, models.Dimension)),
		Metric:        root.Field("metric").OneOf(Metric),
		Files:         readFiles(root.Field("files")),
		Items:         readCount(root.Field("items"), 1),
		Users:         readCount(root.Field("users"), 0),
		Origin:        Origin(root.Field("origin").OneOf(string(Shipped), string(Trained))),
		Metrics:       readMetrics(root.Field("metrics")),
	}
	leastPopular := 0
	if manifest.Mode == EmbeddingsOnly {
		root.Field("towers").Absent("a model of mode embeddings_only has none")
		root.Field("golden").Absent("a model of mode embeddings_only has none")
		root.Field("refresh").Absent("a model of mode embeddings_only has no towers to refresh it with")
		requireFiles(root.Field("files"), ItemEmbeddings, UserEmbeddings)
	} else {
		leastPopular = 1
		manifest.Towers = readTowers(root.Field("towers"))
		manifest.Golden = readGolden(root.Field("golden"))
		requireFiles(root.Field("files"), ItemEmbeddings, UserEmbeddings, UserTower, ItemTower)
	}
	if training := root.Field("training"); manifest.Mode != EmbeddingsOnly || !training.Missing() {
		manifest.Training = readTraining(training)
	}
	if refresh := root.Field("refresh"); manifest.Mode != EmbeddingsOnly && !refresh.Missing() {
		manifest.Refresh = readRefresh(refresh)
		requireFiles(root.Field("files"), PopularityFile)
	}
	manifest.Popularity = readPopularity(root.Field("popularity"), leastPopular)
	if err := document.Err(); err != nil {
		return Manifest{}, err
	}
	return manifest, nil
}

// Encode writes the manifest as indented JSON that ends in a newline.
func (m Manifest) Encode() ([]byte, error) {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the manifest: %w", err)
	}
	return append(data, '\n'), nil
}

func readFiles(field strictjson.Value) map[string]File {
	files := map[string]File{}
	if !field.Object() {
		return files
	}
	members := field.Members()
	if len(members) > maxFiles {
		field.Refuse(fmt.Sprintf("at most %d files", maxFiles))
		return files
	}
	for _, member := range members {
		entry := field.Field(member.Name)
		if !pathPattern.MatchString(member.Name) || member.Name == ManifestName {
			entry.Refuse("a name that is a relative path of letters, digits, dots, dashes and underscores, " +
				"other than " + ManifestName)
		}
		if entry.Object() {
			files[member.Name] = File{
				SHA256: entry.Field("sha256").Pattern(sha256Pattern, "64 lower-case hexadecimal digits"),
				Bytes:  entry.Field("bytes").Integer(0, maxFileSize),
			}
		}
	}
	return files
}

func requireFiles(field strictjson.Value, paths ...string) {
	for _, path := range paths {
		if entry := field.Field(path); entry.Raw() == nil {
			entry.Refuse("a file that every model of this mode has")
		}
	}
}

func readCount(field strictjson.Value, least int64) Count {
	if !field.Object() {
		return Count{}
	}
	return Count{Rows: field.Field("rows").Integer(least, maxRows)}
}

func readTowers(field strictjson.Value) *TowerPair {
	if !field.Object() {
		return nil
	}
	return &TowerPair{
		User: readTower(field.Field("user"), UserForm()),
		Item: readTower(field.Field("item"), ItemForm()),
	}
}

func readTower(field strictjson.Value, form Tower) Tower {
	if !field.Object() {
		return Tower{}
	}
	tower := Tower{Path: field.Field("path").OneOf(form.Path), Output: field.Field("output").OneOf(form.Output)}
	for i, input := range field.Field("inputs").Elements(len(form.Inputs), len(form.Inputs)) {
		if input.Object() {
			tower.Inputs = append(tower.Inputs, Input{
				Name: input.Field("name").OneOf(form.Inputs[i].Name),
				Type: input.Field("type").OneOf(form.Inputs[i].Type),
			})
		}
	}
	return tower
}

func readTraining(field strictjson.Value) *Training {
	if !field.Object() {
		return nil
	}
	return &Training{
		RunID:     field.Field("run_id").Pattern(runIDPattern, runIDMeaning),
		Strategy:  field.Field("strategy").OneOf("replace", "latest", "average"),
		Rows:      field.Field("rows").Integer(1, maxInteger),
		Seed:      field.Field("seed").Integer(0, maxInteger),
		CreatedAt: field.Field("created_at").Time(),
	}
}

func readRefresh(field strictjson.Value) *Refresh {
	if !field.Object() {
		return nil
	}
	return &Refresh{
		BaseModelVersion: field.Field("base_model_version").Pattern(models.VersionPattern, models.VersionRule),
		RunID:            field.Field("run_id").Pattern(runIDPattern, runIDMeaning),
		CreatedAt:        field.Field("created_at").Time(),
		Lake:             field.Field("lake").Pattern(bucketPattern, bucketMeaning),
	}
}

func readMetrics(field strictjson.Value) map[string]float64 {
	metrics := map[string]float64{}
	if !field.Object() {
		return metrics
	}
	members := field.Members()
	if len(members) > maxMetrics {
		field.Refuse(fmt.Sprintf("at most %d metrics", maxMetrics))
		return metrics
	}
	for _, member := range members {
		metrics[member.Name] = field.Field(member.Name).Number(-math.MaxFloat64, math.MaxFloat64)
	}
	return metrics
}

func readGolden(field strictjson.Value) *Golden {
	if !field.Object() {
		return nil
	}
	golden := &Golden{Tolerance: field.Field("tolerance").Number(0, maxTolerance)}
	for _, entry := range field.Field("user").Elements(1, maxGolden) {
		golden.User = append(golden.User, readGoldenValue(entry, UserInputs()))
	}
	for _, entry := range field.Field("item").Elements(1, maxGolden) {
		golden.Item = append(golden.Item, readGoldenValue(entry, ItemInputs()))
	}
	return golden
}

func readGoldenValue(field strictjson.Value, inputs []Input) GoldenValue {
	value := GoldenValue{Input: map[string]any{}}
	if !field.Object() {
		return value
	}
	if given := field.Field("input"); given.Object() {
		names := make([]string, len(inputs))
		for i, input := range inputs {
			names[i] = input.Name
			if input.Type == "string" {
				value.Input[input.Name] = given.Field(input.Name).Text(0, 200)
			} else {
				value.Input[input.Name] = given.Field(input.Name).Number(-math.MaxFloat32, math.MaxFloat32)
			}
		}
		given.Only(names...)
	}
	for _, number := range field.Field("output").Elements(models.Dimension, models.Dimension) {
		value.Output = append(value.Output, number.Number(-1.001, 1.001))
	}
	return value
}

func readPopularity(field strictjson.Value, least int) []Popular {
	popularity := []Popular{}
	seen := map[string]bool{}
	for i, entry := range field.Elements(least, maxPopularity) {
		if !entry.Object() {
			continue
		}
		product := Popular{
			ID: entry.Field("id").Pattern(itemIDPattern,
				"a product code: 1 to 64 visible ASCII characters without spaces"),
			Score: entry.Field("score").Number(-math.MaxFloat64, math.MaxFloat64),
		}
		if product.ID != "" && seen[product.ID] {
			entry.Field("id").Refuse("each product once")
		}
		seen[product.ID] = true
		if i > 0 && len(popularity) > 0 && product.Score > popularity[len(popularity)-1].Score {
			entry.Field("score").Refuse("the best first")
		}
		popularity = append(popularity, product)
	}
	return popularity
}
