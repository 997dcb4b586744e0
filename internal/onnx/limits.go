package onnx

// Limits that [Load] enforces.
const (
	// MaxFileBytes is the greatest size of a model, in bytes.
	MaxFileBytes = 64 << 20
	// MaxNodes is the greatest number of nodes in a graph.
	MaxNodes = 4096
	// MaxRank is the greatest number of dimensions of a tensor.
	MaxRank = 8
	// MaxElements is the greatest number of elements that all tensors of one evaluation hold together.
	MaxElements = 1 << 25
	// MaxWork is the greatest number of multiply-adds (or element visits) of one evaluation.
	MaxWork = 1 << 33
	// LargestBatch bounds [Model.MaxBatch] for every model.
	LargestBatch = 1 << 16
	// LoadAllocationFactor is how many bytes Load allocates at most, in all, for each byte of the file ...
	LoadAllocationFactor = 256
	// LoadAllocationBase is ... and how many beside.
	LoadAllocationBase = 1 << 20
	// MinOpset and MaxOpset bound the version of the default operator set.
	MinOpset, MaxOpset = 13, 21
	// MinMLOpset and MaxMLOpset bound the version of the ai.onnx.ml operator set.
	MinMLOpset, MaxMLOpset = 1, 3
	// MinIRVersion and MaxIRVersion bound the version of the file format (onnx.proto, enum Version).
	MinIRVersion, MaxIRVersion = 4, 14
)

// foldFactor bounds the elements that folding constants may make and visit, for each byte of the file: enough for
// the transposed and cast weights of an exporter, far below what a small hostile file could ask for.
const foldFactor = 4
