// Command inference recommends: to the stream's consumers in batches, and to the course's three
// HTTP routes through a function URL. Its environment is environment.Recommends.
package main

import (
	"context"
	"log/slog"

	"diecast/internal/environment"
	"diecast/lambda/inference/handler"
	"diecast/lambda/internal/function"
	"diecast/lambda/internal/vectorbackend"
)

func main() {
	function.Start(func(ctx context.Context, logger *slog.Logger) (any, error) {
		read, err := environment.Read[environment.Recommends](environment.OfProcess())
		if err != nil {
			return nil, err
		}
		backend, err := vectorbackend.Open(ctx, read.VectorStore)
		if err != nil {
			return nil, err
		}
		engine := &handler.Engine{
			Store: backend.Store, Bucket: backend.Models, Logger: logger, MemoryMiB: int(read.FunctionMemory),
		}
		return handler.Handler{Engine: engine}, nil
	})
}
