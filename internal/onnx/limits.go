package onnx

// Limits that [Load] enforces.
const (
	// MaxFileBytes is the greatest size of a model, in bytes.
	MaxFileBytes = 64 << 20
	// MaxNodes is the greatest number of nodes in a graph.
	MaxNodes = 4096
	// MaxValues is the greatest number of initializers, inputs and outputs of a graph, each.
	MaxValues = 4096
	// MaxArguments is the greatest number of inputs, and of outputs, of a node.
	MaxArguments = 1024
	// MaxAttributes is the greatest number of attributes of a node.
	MaxAttributes = 16
	// MaxNameBytes is the greatest length of a name.
	MaxNameBytes = 1024
	// MaxRank is the greatest number of dimensions of a tensor.
	MaxRank = 8
	// MaxElements is the greatest number of elements that the tensors which one evaluation computes
	// hold together.
	MaxElements = 1 << 25
	// MaxWork is the greatest number of multiply-adds (or element visits) of one evaluation.
	MaxWork = 1 << 33
	// LargestBatch bounds [Model.MaxBatch] for every model.
	LargestBatch = 1 << 16
	// LoadAllocationFactor is how many bytes Load allocates at most, in all, for each byte of the
	// file ...
	LoadAllocationFactor = 32
	// LoadAllocationBase is ... and how many beside: the plan's part for each of at most MaxNodes
	// nodes.
	LoadAllocationBase = 4 << 20
	// MinOpset and MaxOpset bound the version of the default operator set.
	MinOpset, MaxOpset = 13, 21
	// MinMLOpset and MaxMLOpset bound the version of the ai.onnx.ml operator set.
	MinMLOpset, MaxMLOpset = 1, 3
	// MinIRVersion and MaxIRVersion bound the version of the file format (onnx.proto, enum
	// Version).
	MinIRVersion, MaxIRVersion = 4, 14
)

// foldBudget is how many elements folding constants may make and visit: enough for the transposed
// and cast weights of an exporter, far below what a small hostile file could ask for.
func foldBudget(fileBytes int) int { return fileBytes + 4096 }
