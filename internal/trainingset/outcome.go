package trainingset

import (
	"time"

	"diecast/internal/strictjson"
)

// MaxOutcomeBytes bounds _outcome.json.
const MaxOutcomeBytes = 1 << 20

// Status is where a run of the ETL job stands.
type Status string

const (
	// Running is also the status of a run that was killed.
	Running Status = "running"
	// Failed runs have published nothing.
	Failed Status = "failed"
	// Succeeded runs are published; one with a reason failed at something after that.
	Succeeded Status = "published"
)

// Outcome is what a run of the ETL job tells of itself: OutcomeName in the run's folder.
type Outcome struct {
	RunID  string `json:"run_id"`
	Status Status `json:"status"`
	// Stage is the last one that began.
	Stage     string    `json:"stage"`
	StartedAt time.Time `json:"started_at"`
	// FinishedAt is zero while the run has not ended.
	FinishedAt time.Time `json:"finished_at"`
	// Reason says where it failed, why, and what to do; empty where nothing did.
	Reason string `json:"reason"`
	Rules  []Rule `json:"rules"`
	// Rows by table: of the source's tables those read, of the run's tables the others.
	Rows Rows `json:"rows"`
	// Quarantine are the folders of the rows that were not published.
	Quarantine []string   `json:"quarantine"`
	Additions  []Addition `json:"additions"`
	// Seconds by stage.
	Seconds map[string]float64 `json:"seconds"`
	// Strategy is empty in outcomes that are older than strategies.
	Strategy Strategy `json:"strategy"`
	// Window is that of the manifest, Quality too; nil where the run did not come so far.
	Window  *Window  `json:"window"`
	Quality *Quality `json:"quality"`
}

// Rows are numbers of rows by table.
type Rows struct {
	Read        map[string]int64 `json:"read"`
	Published   map[string]int64 `json:"published"`
	Quarantined map[string]int64 `json:"quarantined"`
	// DeletedMeanwhile are rows whose parents were missing because the source deleted both while
	// the run read.
	DeletedMeanwhile map[string]int64 `json:"deleted_meanwhile"`
}

// Rule is a rule of contract or quality and what it found.
type Rule struct {
	Table    string `json:"table"`
	Rule     string `json:"rule"`
	Column   string `json:"column"`
	Expected string `json:"expected"`
	// Found is an example of a value that broke the rule, or empty.
	Found string `json:"found"`
	// Rows that broke the rule; with Passed they were few enough to be quarantined.
	Rows   int64 `json:"rows"`
	Passed bool  `json:"passed"`
}

const (
	maxRules      = 1000
	maxReason     = 2000
	maxWords      = 200
	maxQuarantine = 100
	maxURI        = 1100 // an S3 key has at most 1024 bytes
	maxSeconds    = 1e6
)

// DecodeOutcome reads _outcome.json. The error is a *strictjson.Error that names every violation.
func DecodeOutcome(data []byte) (Outcome, error) {
	document, err := strictjson.Parse(data, strictjson.Limits{MaxBytes: MaxOutcomeBytes, MaxDepth: maxDepth})
	if err != nil {
		return Outcome{}, err
	}
	root := document.Root()
	if !root.Object() {
		return Outcome{}, document.Err()
	}
	root.Field("schema_version").Integer(1, 1)
	outcome := Outcome{
		RunID:  root.Field("run_id").Pattern(runIDPattern, runIDMeaning),
		Status: Status(root.Field("status").OneOf(string(Running), string(Failed), string(Succeeded))),
		Stage: root.Field("stage").OneOf("session", "contract", "read", "quality", "write", "manifest", "publish",
			"prune"),
		StartedAt: root.Field("started_at").Time(),
		Additions: readAdditions(root.Field("additions")),
		Seconds:   map[string]float64{},
	}
	if finished := root.Field("finished_at"); outcome.Status != Running || !finished.Missing() {
		outcome.FinishedAt = finished.Time()
	}
	if reason := root.Field("reason"); outcome.Status == Failed || !reason.Missing() {
		outcome.Reason = reason.Text(1, maxReason)
	}
	if strategy := root.Field("strategy"); !strategy.Missing() {
		outcome.Strategy = Strategy(strategy.OneOf(string(Replace), string(Latest), string(Average)))
	}
	if window := root.Field("window"); !window.Missing() {
		outcome.Window = readWindow(window)
	}
	if quality := root.Field("quality"); !quality.Missing() {
		outcome.Quality = readQuality(quality)
	}
	for _, entry := range root.Field("rules").Elements(0, maxRules) {
		if entry.Object() {
			outcome.Rules = append(outcome.Rules, Rule{
				Table: entry.Field("table").Text(1, maxIdentifier), Rule: entry.Field("rule").Text(1, maxType),
				Column: entry.Field("column").Text(1, maxWords), Expected: entry.Field("expected").Text(0, maxWords),
				Found: entry.Field("found").Text(0, maxReason), Rows: entry.Field("rows").Integer(0, maxRows),
				Passed: entry.Field("passed").Bool(),
			})
		}
	}
	if rows := root.Field("rows"); rows.Object() {
		outcome.Rows = Rows{
			Read: counts(rows.Field("read")), Published: counts(rows.Field("published")),
			Quarantined: counts(rows.Field("quarantined")), DeletedMeanwhile: counts(rows.Field("deleted_meanwhile")),
		}
	}
	for _, folder := range root.Field("quarantine").Elements(0, maxQuarantine) {
		outcome.Quarantine = append(outcome.Quarantine, folder.Text(1, maxURI))
	}
	if seconds := root.Field("seconds"); seconds.Object() {
		for _, stage := range seconds.Members() {
			outcome.Seconds[stage.Name] = seconds.Field(stage.Name).Number(0, maxSeconds)
		}
	}
	if err := document.Err(); err != nil {
		return Outcome{}, err
	}
	return outcome, nil
}

func counts(value strictjson.Value) map[string]int64 {
	found := map[string]int64{}
	if value.Object() {
		for _, table := range value.Members() {
			found[table.Name] = value.Field(table.Name).Integer(0, maxRows)
		}
	}
	return found
}
