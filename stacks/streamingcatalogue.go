package stacks

import (
	"strings"
	"time"

	"diecast/config"
	"diecast/constructs/datalake"
	"diecast/constructs/deliverystream"
	"diecast/internal/archive"
	"diecast/sql"
)

// archiveExtension ends the keys of archived objects: Athena opens them by it.
func archiveExtension(cfg config.Config) string {
	if cfg.Streaming.ArchiveGZIP() {
		return archive.GZIPExtension
	}
	return archive.Extension
}

// catalogue says what the contract of the archive means to Athena. Its workgroup is its own: its
// queries read terabytes where those of the lake read megabytes, and this stack does not know
// Batch.
func (s *Streaming) catalogue(cfg config.Config) datalake.Props {
	props := datalake.Props{
		Over:           s.Archive,
		Database:       strings.ReplaceAll(cfg.Name, "-", "_") + "_archive",
		Workgroup:      cfg.Name + "-archive",
		ScanLimitBytes: cfg.Streaming.ScanLimitMiB << 20,
	}
	kept := map[string]time.Duration{
		archive.RecommendationsTable: days(cfg.Streaming.ArchiveRetentionDays),
		archive.RefusedTable:         days(cfg.Streaming.ErrorRetentionDays),
	}
	for _, table := range archive.Tables() {
		lines := &datalake.Lines{AnyCase: table.AnyCase}
		if table.ByHour {
			lines.Hours = &datalake.Hours{Column: archive.HourColumn, Format: deliverystream.HourFormat,
				Kept: kept[table.Name]}
		}
		described := datalake.Table{Name: table.Name, Description: table.Meaning,
			Folder: strings.TrimSuffix(table.Folder, "/"), Lines: lines}
		for _, column := range table.Columns {
			described.Columns = append(described.Columns, datalake.Column(column))
		}
		props.Tables = append(props.Tables, described)
	}
	for _, query := range sql.ArchiveQueries() {
		props.Queries = append(props.Queries, datalake.Query{Name: query.Name, Description: query.Meaning,
			SQL: query.Text})
	}
	return props
}
