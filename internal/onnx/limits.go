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
	// MaxAttributes is the greatest number of attributes of a node: enough for operators that are
	// refused, so that they are refused by name.
	MaxAttributes = 32
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
	// MinOpset and MaxOpset bound the version of the default operator set: from the first with
	// today's broadcasting, which is also ONNX Runtime's oldest, to the newest that the table of
	// changes was compared with. Within them, each operator has bounds of its own.
	MinOpset, MaxOpset = 7, 28
	// MinMLOpset and MaxMLOpset bound the version of the ai.onnx.ml operator set.
	MinMLOpset, MaxMLOpset = 1, 5
	// MinIRVersion and MaxIRVersion bound the version of the file format (onnx.proto, enum
	// Version): opset 7 came with 3.
	MinIRVersion, MaxIRVersion = 3, 14
)

// foldBudget is how many elements folding constants may make and visit: enough for the transposed
// and cast weights of an exporter, far below what a small hostile file could ask for.
func foldBudget(fileBytes int) int { return fileBytes + 4096 }
