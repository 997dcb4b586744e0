package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"diecast/web/guest"
)

// answer is what a route found.
type answer struct {
	// content is written as JSON; bytes as they are.
	content any
	// same is what two answers that mean the same have in common, of which ETag is made with next;
	// nil: their content. unmarked answers have no ETag.
	same     any
	unmarked bool
	// cache is Cache-Control, vary what it depends on beside what all do.
	cache, vary string
	// next is the address of the next page; empty on the last.
	next string
}

// problem is an answer by RFC 9457. Its title is that of the status.
type problem struct {
	Status int
	// Reason is for programs, one of openapi.json; Detail for people.
	Reason, Detail string
	Errors         []wrong
	// RetryAfter is when to ask again, rounded up to seconds; 0 where that is no matter of time.
	RetryAfter time.Duration
}

func (p *problem) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Type   string  `json:"type"`
		Title  string  `json:"title"`
		Status int     `json:"status"`
		Reason string  `json:"reason"`
		Detail string  `json:"detail"`
		Errors []wrong `json:"errors,omitempty"`
	}{"about:blank", http.StatusText(p.Status), p.Status, p.Reason, p.Detail, p.Errors})
}

func (a *API) write(w http.ResponseWriter, r *http.Request, found *answer, failed *problem) {
	header := w.Header()
	if failed != nil {
		header.Set("Content-Type", "application/problem+json")
		header.Set("Cache-Control", "no-store")
		if failed.RetryAfter > 0 {
			header.Set("Retry-After", guest.RetryAfter(failed.RetryAfter))
		}
		send(w, r, failed.Status, encoded(failed))
		return
	}
	if found.vary != "" {
		header.Set("Vary", header.Get("Vary")+", "+found.vary)
	}
	header.Set("Cache-Control", found.cache)
	if found.next != "" {
		header.Set("Link", "<"+found.next+`>; rel="next"`)
	}
	content := encoded(found.content)
	if !found.unmarked {
		same := content
		if found.same != nil {
			same = encoded(found.same)
		}
		sum := sha256.Sum256(append(slices.Clip(same), found.next...))
		tag := `W/"` + hex.EncodeToString(sum[:12]) + `"`
		header.Set("ETag", tag)
		if matches(r.Header.Values("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	header.Set("Content-Type", "application/json")
	send(w, r, http.StatusOK, content)
}

func send(w http.ResponseWriter, r *http.Request, status int, content []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(content) // a client that has left is told nothing
	}
}

func encoded(content any) []byte {
	if raw, done := content.([]byte); done {
		return raw
	}
	text, err := json.Marshal(content)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", content, err)) // a fault of ours, which tests find
	}
	return append(text, '\n')
}

// matches compares weakly (RFC 9110, section 13.1.2).
func matches(asked []string, tag string) bool {
	for part := range strings.SplitSeq(strings.Join(asked, ","), ",") {
		part = strings.TrimSpace(part)
		if part == "*" || strings.TrimPrefix(part, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}
