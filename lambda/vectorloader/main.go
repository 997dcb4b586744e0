// Command vectorloader creates the vector store and loads models into it: at deployment, as a
// custom resource, and on demand, for operators and the state machine. Its environment is
// environment.VectorLoader.
package main

import (
	"context"
	"log/slog"
	"os"
	"sync"

	"diecast/internal/environment"
	"diecast/internal/metrics"
	"diecast/internal/refresh"
	"diecast/internal/vectorsize"
	"diecast/lambda/internal/function"
	"diecast/lambda/internal/vectorbackend"
	"diecast/lambda/vectorloader/handler"
	shipped "diecast/training/artifacts"
)

func main() {
	function.Start(func(ctx context.Context, logger *slog.Logger) (any, error) {
		// Opened by the first event that needs it: deleting the stack must succeed whatever is
		// wrong here.
		open := sync.OnceValues(func() (handler.Backend, error) {
			read, err := environment.Read[environment.VectorLoader](environment.OfProcess())
			if err != nil {
				return handler.Backend{}, err
			}
			backend, err := vectorbackend.Open(ctx, read.VectorStore)
			return handler.Backend{
				Store: backend.Store, Bucket: backend.Models, Keeper: backend.S3, Lake: backend.S3,
				Limits: refresh.Limits{
					CatalogueOverlap: float64(read.MinCatalogueOverlap),
					PreviousOverlap:  float64(read.MinPreviousOverlap),
					Vanished:         float64(read.MaxVanished),
					LengthError:      float64(read.LengthTolerance),
				},
				Memory: vectorsize.Memory{
					DatabaseMiB: int(read.DatabaseMemory), FunctionMiB: int(read.FunctionMemory),
				},
			}, err
		})
		return handler.Handler{
			Open:    func(context.Context) (handler.Backend, error) { return open() },
			Shipped: shipped.Model,
			Metrics: metrics.Writer{Function: metrics.VectorLoader, Output: os.Stdout},
			Logger:  logger,
		}.Handle, nil
	})
}
