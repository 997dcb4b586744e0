package demonstration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tier is two servers that answer by turns; their figures come with the third question.
func tier(t *testing.T, table func(http.ResponseWriter)) string {
	t.Helper()
	asked, answered := 0, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/provenance" {
			answered++
			_, _ = fmt.Fprintf(w, `<dd class="value" id="instance">i-%d</dd> <dd id="zone">zone&#43;%[1]d</dd>`,
				answered%2)
			return
		}
		if r.URL.String() != "/sales/product-lines.csv?period=all" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if asked++; asked < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		table(w)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestPagesTellWhatTheyShow(t *testing.T) {
	address := tier(t, func(w http.ResponseWriter) {
		_, _ = io.WriteString(w, "product_line,revenue,orders\n\"Trains, small\",0.10,1\nShips,20.25,3\n")
	})
	report, err := Pages(t.Context(), address)
	require.NoError(t, err)
	assert.Equal(t, PagesReport{Address: address, Lines: 2, BestLine: "Ships", BestRevenue: "20.25", Revenue: "20.35",
		Servers: []string{"i-0 in zone+0", "i-1 in zone+1"}}, report)
}

func TestWithheldPagesSaySo(t *testing.T) {
	report, err := Pages(t.Context(), tier(t, func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }))
	require.NoError(t, err)
	assert.True(t, report.Withheld)
	assert.Len(t, report.Servers, 2)
}

func TestPagesThatShowNothingFail(t *testing.T) {
	for want, table := range map[string]string{
		"have no line":        "product_line,revenue\n",
		"have the columns":    "line,revenue\nShips,1\n",
		`revenue of Ships is`: "product_line,revenue\nShips,many\n",
	} {
		_, err := Pages(t.Context(), tier(t, func(w http.ResponseWriter) { _, _ = io.WriteString(w, table) }))
		assert.ErrorContains(t, err, want)
	}
	_, err := Pages(t.Context(), tier(t, func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) }))
	assert.ErrorContains(t, err, "answers 418")
	_, err = Pages(t.Context(), tier(t, func(w http.ResponseWriter) {
		http.Error(w, "The sales cannot be read: the database refuses.", http.StatusInternalServerError)
	}))
	assert.ErrorContains(t, err, "answers 500: The sales cannot be read: the database refuses.")
}

func TestPagesThatNeverHaveFiguresAreGivenUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := Pages(ctx, tier(t, func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }))
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
