// Command web answers the load balancer's health check, and nothing else.
package main

import (
	"log/slog"
	"net/http"
	"os"
	"time"
)

func main() {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	server := &http.Server{Addr: ":" + os.Getenv("WEB_PORT"), Handler: routes, ReadHeaderTimeout: 5 * time.Second}
	slog.New(slog.NewJSONHandler(os.Stdout, nil)).Error("the server ended", "error", server.ListenAndServe())
	os.Exit(1)
}
