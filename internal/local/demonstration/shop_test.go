package demonstration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// aShop answers clicks after a moment, or with another's event.
func aShop(t *testing.T, page string, answered func(event string) string) string {
	t.Helper()
	clicks := make(chan string, 1)
	mux := http.NewServeMux()
	early := true // its server has no catalogue yet
	mux.HandleFunc("GET /shop", func(w http.ResponseWriter, _ *http.Request) {
		if early {
			early = false
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, page)
	})
	mux.HandleFunc("POST /shop/events", func(w http.ResponseWriter, r *http.Request) {
		var event struct {
			ID string `json:"event_id"`
		}
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&event))
		clicks <- event.ID
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("GET /shop/live", func(w http.ResponseWriter, r *http.Request) {
		assert.Len(t, r.Header.Get("Diecast-Session"), 36)
		_, _ = io.WriteString(w, "{\"show\":{}}\n")
		assert.NoError(t, http.NewResponseController(w).Flush())
		event := <-clicks
		time.Sleep(20 * time.Millisecond)
		_, _ = fmt.Fprintf(w, "{\"event\":%q}\n{\"end\":true}\n", answered(event))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

const goods = `<p id="found">1 to 24 of 1,110</p><button data-code="S10_1"></button><button data-code="S2">`

func TestAClickInTheShopIsAnswered(t *testing.T) {
	report, err := Shop(t.Context(), aShop(t, goods, func(event string) string { return event }))
	require.NoError(t, err)
	assert.GreaterOrEqual(t, report.Took, 20*time.Millisecond)
	report.Took = 0
	assert.Equal(t, ShopReport{Products: 1110, Looked: "S10_1"}, report)
}

func TestAShopThatDoesNotAnswerFails(t *testing.T) {
	_, err := Shop(t.Context(), aShop(t, goods, func(string) string { return "another" }))
	require.ErrorContains(t, err, "ended before the click")
	_, err = Shop(t.Context(), aShop(t, "nothing", func(event string) string { return event }))
	require.ErrorContains(t, err, "shows no products")
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, err = Shop(t.Context(), server.URL)
	require.ErrorContains(t, err, "answers 404")
}

func TestTheShopsAddressKeepsTheToken(t *testing.T) {
	address, err := ShopAddress("http://127.0.0.1:8080/?token=ABC")
	require.NoError(t, err)
	assert.Equal(t, "http://127.0.0.1:8080/shop?token=ABC", address)
}
