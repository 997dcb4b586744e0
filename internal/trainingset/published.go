package trainingset

import (
	"time"

	"diecast/internal/strictjson"
)

// MaxPublishedBytes bounds published.json.
const MaxPublishedBytes = 64 << 10

// Published is the pointer to the run that programs read: PublishedName in Prefix.
type Published struct {
	RunID       string    `json:"run_id"`
	PublishedAt time.Time `json:"published_at"`
	// ManifestSHA256 is that of the run's manifest.
	ManifestSHA256 string `json:"manifest_sha256"`
}

// DecodePublished reads published.json. The error is a *strictjson.Error that names every
// violation.
func DecodePublished(data []byte) (Published, error) {
	document, err := strictjson.Parse(data, strictjson.Limits{MaxBytes: MaxPublishedBytes, MaxDepth: maxDepth})
	if err != nil {
		return Published{}, err
	}
	root := document.Root()
	if !root.Object() {
		return Published{}, document.Err()
	}
	root.Field("schema_version").Integer(1, 1)
	published := Published{
		RunID:          root.Field("run_id").Pattern(runIDPattern, runIDMeaning),
		PublishedAt:    root.Field("published_at").Time(),
		ManifestSHA256: root.Field("manifest_sha256").Pattern(sha256Pattern, sha256Meaning),
	}
	if err := document.Err(); err != nil {
		return Published{}, err
	}
	return published, nil
}
