package queries

import (
	"bufio"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"diecast/internal/archive"
	"diecast/internal/recommendation"
)

// Line is an archived record and the folder of its hour.
type Line struct {
	Hour   string
	Record recommendation.Record
}

// ReadLines reads the archived records of a folder that holds the bucket's objects, in the order in
// which they were made.
func ReadLines(folder string) ([]Line, error) {
	root := filepath.Join(folder, filepath.FromSlash(archive.Recommendations))
	var lines []Line
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		object, err := archive.Open(file)
		if err != nil {
			return err
		}
		hour, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		scanner := bufio.NewScanner(object)
		scanner.Buffer(nil, recommendation.MaxBytes)
		for scanner.Scan() {
			record, err := recommendation.Decode(scanner.Bytes())
			if err != nil {
				return err
			}
			lines = append(lines, Line{filepath.ToSlash(hour), record})
		}
		return scanner.Err()
	})
	slices.SortStableFunc(lines, func(a, b Line) int {
		return a.Record.RecommendedAt.Compare(b.Record.RecommendedAt)
	})
	return lines, err
}

// counted are the records that count, by recommendation.Unique, and how many each hour leaves out.
func counted(lines []Line) (unique []Line, doubles map[string]int) {
	type identity struct {
		id   string
		at   time.Time
		rung recommendation.Rung
	}
	of := func(r recommendation.Record) identity { return identity{r.Event.ID.String(), r.RecommendedAt, r.Rung} }
	hours, records, doubles := map[identity]string{}, make([]recommendation.Record, 0, len(lines)), map[string]int{}
	for _, line := range lines {
		records = append(records, line.Record)
		doubles[line.Hour]++
		if _, seen := hours[of(line.Record)]; !seen {
			hours[of(line.Record)] = line.Hour
		}
	}
	kept, _ := recommendation.Unique(records)
	for _, record := range kept {
		hour := hours[of(record)]
		doubles[hour]--
		unique = append(unique, Line{hour, record})
	}
	return unique, doubles
}

// RungsByHour are the rows of rungs_by_hour.
func RungsByHour(lines []Line) []Row {
	unique, doubles := counted(lines)
	answered := map[string][]recommendation.Record{}
	for _, line := range unique {
		answered[line.Hour] = append(answered[line.Hour], line.Record)
	}
	var rows []Row
	for hour, left := range doubles {
		rungs, events := recommendation.CountRungs(answered[hour]), len(answered[hour])
		row := Row{archive.HourColumn: hour, "events": float64(events), "doubles": float64(left), "degraded_share": nil}
		for _, rung := range recommendation.Rungs() {
			row[rung.String()] = float64(rungs[rung])
		}
		if events > 0 {
			row["degraded_share"] = float64(rungs[recommendation.Popular]) / float64(events)
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return strings.Compare(a[archive.HourColumn].(string), b[archive.HourColumn].(string))
	})
	return rows
}

// LongestByHour are the hours of event_to_recommended, with the events and the longest latency of
// each, in milliseconds. The percentiles are Athena's approximation.
func LongestByHour(lines []Line) []Row {
	var rows []Row
	unique, _ := counted(lines)
	for _, line := range unique {
		// Both times are cut to the millisecond, as Athena does.
		latency := float64(line.Record.RecommendedAt.UnixMilli() - line.Record.Event.Time.UnixMilli())
		at := slices.IndexFunc(rows, func(row Row) bool { return row[archive.HourColumn] == line.Hour })
		if at < 0 {
			rows = append(rows, Row{archive.HourColumn: line.Hour, "events": 0.0, "longest": math.Inf(-1)})
			at = len(rows) - 1
		}
		rows[at]["events"] = rows[at]["events"].(float64) + 1
		rows[at]["longest"] = max(rows[at]["longest"].(float64), latency)
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return strings.Compare(a[archive.HourColumn].(string), b[archive.HourColumn].(string))
	})
	return rows
}

// HitRate are the rows of hit_rate, by model: a session has a hit where an item that the model had
// recommended to it is in the cart of a later event.
func HitRate(lines []Line) map[string]Row {
	type offer struct{ model, session, product string }
	offered, carts := map[offer]time.Time{}, map[offer]time.Time{} // a cart has no model
	unique, _ := counted(lines)
	for _, line := range unique {
		record := line.Record
		session, at := record.Event.SessionID, record.Event.Time.Truncate(time.Millisecond)
		for _, item := range record.Items {
			one := offer{record.ModelVersion, session, item.ID}
			if before, seen := offered[one]; !seen || at.Before(before) {
				offered[one] = at
			}
		}
		for _, product := range record.Event.Cart() {
			one := offer{"", session, product}
			if at.After(carts[one]) {
				carts[one] = at
			}
		}
	}
	hits, items := map[offer]int{}, map[offer]int{} // by model and session
	for one, at := range offered {
		session := offer{one.model, one.session, ""}
		items[session]++
		if carts[offer{"", one.session, one.product}].After(at) {
			hits[session]++
		}
	}
	rows := map[string]Row{}
	for session, count := range items {
		row := rows[session.model]
		if row == nil {
			row = Row{"model_version": session.model, "sessions": 0.0, "sessions_with_hit": 0.0,
				"items_recommended": 0.0, "items_taken": 0.0}
			rows[session.model] = row
		}
		row["sessions"] = row["sessions"].(float64) + 1
		row["items_recommended"] = row["items_recommended"].(float64) + float64(count)
		row["items_taken"] = row["items_taken"].(float64) + float64(hits[session])
		if hits[session] > 0 {
			row["sessions_with_hit"] = row["sessions_with_hit"].(float64) + 1
		}
	}
	for _, row := range rows {
		row["hit_rate"] = row["sessions_with_hit"].(float64) / row["sessions"].(float64)
	}
	return rows
}
