// Package schemas holds the JSON Schemas (draft 2020-12) of Diecast's contracts, for tests and for
// readers in other languages. The Go packages that decode the same documents do not use them;
// test/contracts keeps both in agreement.
package schemas

import "embed"

// Files are the schemas, <contract>.schema.json.
//
//go:embed *.schema.json
var Files embed.FS
