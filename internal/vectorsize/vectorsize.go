// Package vectorsize says how much memory a model of so many rows wants, of the database and of the
// loader's function. The figures are measured (docs/vectors.md says how); the package opens nothing
// and imports nothing of AWS, so that configuration, stacks and loader share it.
package vectorsize

import (
	"errors"
	"fmt"
)

const (
	mebibyte = 1 << 20
	// itemBytes is what the database reads to search an item: 193 of its row, 41 of the primary key
	// and 435 of the HNSW index.
	itemBytes = 670
	// userBytes is the same of a user, who has no HNSW index.
	userBytes = 235
	// buildBytes is what an item takes of the database's memory while its HNSW index is built: 864
	// were measured. An index that is built in less takes ten times as long.
	buildBytes = 900
	// versions are searched at once around a switch: the one that served and the one that does.
	versions = 2
	// A database has half of its class's memory to cache them; the rest is the operating system's,
	// the connections' and the index build's.
	cached = 0.5
	// building is the share of the memory that the build of one index may take.
	building = 0.25
	// leastBuild is what a build may take in any case: PostgreSQL's default of
	// maintenance_work_mem.
	leastBuild = 64 * mebibyte
	// mostItems are indexed within the loader's quarter of an hour by the two processors that every
	// class has at least: the build takes 0.7 ms of one for each.
	mostItems = 2_000_000
	// functionBase is what the loader's program takes without rows, with room to spare.
	functionBase = 128 * mebibyte
	// rowBytes is what a refresh takes of the function for an item or a user, garbage included: two
	// thirds of it were measured. A load takes a tenth.
	rowBytes = 500
)

// Memory is what a platform has.
type Memory struct {
	// DatabaseMiB is the instance class's, FunctionMiB the loader's.
	DatabaseMiB, FunctionMiB int
}

// MostItems is how many items a database of so much memory searches, each with a user.
func MostItems(databaseMiB int) int {
	memory := float64(databaseMiB) * mebibyte
	return int(min(memory*cached/versions/(itemBytes+userBytes), memory*building/buildBytes))
}

// MostRows is how many items and users together a function of so much memory refreshes.
func MostRows(functionMiB int) int {
	return max(0, functionMiB*mebibyte-functionBase) / rowBytes
}

// LeastDatabaseMiB and LeastFunctionMiB are the memory that so many rows want.
func LeastDatabaseMiB(items, users int) int {
	searched := float64(items*itemBytes+users*userBytes) * versions / cached
	return int(max(searched, float64(items*buildBytes)/building)/mebibyte) + 1
}

// BuildMiB is the memory in which the database builds the index of so many items.
func BuildMiB(items int) int { return max(leastBuild, items*buildBytes)/mebibyte + 1 }

// LeastFunctionMiB is documented with LeastDatabaseMiB.
func LeastFunctionMiB(items, users int) int {
	return (functionBase+(items+users)*rowBytes)/mebibyte + 1
}

// Check refuses more rows than the memory holds, and says what to set.
func (m Memory) Check(items, users int) error {
	var problems []error
	if items > mostItems {
		problems = append(problems, fmt.Errorf("%d items are not indexed in the time that the loader has: at most %d "+
			"are allowed, leave out what is not sold any more", items, mostItems))
	}
	if least := LeastDatabaseMiB(items, users); least > m.DatabaseMiB {
		problems = append(problems, fmt.Errorf("%d items and %d users want a database with %d MiB of memory, it has "+
			"%d: set vectors.instanceClass to a larger one", items, users, least, m.DatabaseMiB))
	}
	if least := LeastFunctionMiB(items, users); least > m.FunctionMiB {
		problems = append(problems, fmt.Errorf("%d items and %d users want a loader with %d MiB of memory, it has "+
			"%d: set vectors.loaderMemoryMiB", items, users, least, m.FunctionMiB))
	}
	return errors.Join(problems...)
}
