// Package onnx evaluates small ONNX models: towers, other multi-layer perceptrons and the
// preprocessing before them.
//
// It knows an explicit list of operators ([Operators]), each in the opsets in which it means the
// same, and nothing else. Everything that a model asks for beyond it (an operator, an attribute, a
// type, an opset, external data, a sparse tensor, a function, a subgraph, a sequence, training
// information) is refused by [Load] with the node's name, all of it at once. Types and shapes are
// inferred while loading, so a loaded model can be failed by its caller's inputs only.
//
// It must not know what a model is for: no customers, no products, no files, no network.
//
// # Operators
//
//   - Arithmetic and comparison: Abs Add And Clip Div Equal Exp Greater GreaterOrEqual Less
//     LessOrEqual Log Max Min Mul Neg Not Or Pow Reciprocal Sqrt Sub Where.
//   - Activations: Elu Erf Gelu LeakyRelu LogSoftmax Relu Sigmoid Softmax Tanh.
//   - Matrices and reductions: ArgMax Gemm MatMul ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin
//     ReduceSum ReduceSumSquare.
//   - Normalisation, at inference: BatchNormalization Dropout LayerNormalization LpNormalization.
//   - Shape and choice: Cast Concat Constant ConstantOfShape Expand Flatten Gather Identity Reshape
//     Shape Slice Squeeze Transpose Unsqueeze.
//   - Of ai.onnx.ml: ArrayFeatureExtractor Normalizer OneHotEncoder Scaler.
//
// That is what our towers use, what PyTorch's two exporters write for perceptrons (with embeddings,
// layer and batch normalisation, F.normalize), and what skl2onnx writes for OneHotEncoder,
// StandardScaler, Normalizer, ColumnTransformer and the two MLP estimators. ZipMap is left out,
// because its result is a sequence of maps: convert a classifier with the option zipmap=False. So
// are casts from text (a request could fail on them) and from floats to text (the specification
// leaves their form open).
//
// # Opsets
//
// Opsets [MinOpset] to [MaxOpset] and ai.onnx.ml [MinMLOpset] to [MaxMLOpset] are read operator by
// operator: a table of the specification's changes says in which of them an operator is as it is
// evaluated here. Softmax and LogSoftmax before 13 mean something else and are refused. A node is
// of the highest version in which its domain is imported; an import that no node uses does no harm.
//
// # Types
//
// float, double, int32, int64, bool and string. Half precision, 8-bit, 16-bit and unsigned
// integers, and complex numbers are refused.
//
// # Shapes
//
// Every input has a declared rank. Its leading dimension may be free, under any name: that is the
// batch, the same for all inputs, at least 1 and at most [Model.MaxBatch]. All other dimensions are
// fixed. A dimension inside the model is a linear function of the batch; where two dimensions must
// agree, they must agree for every batch. What decides a shape (the target of Reshape, axes, the
// bounds of Slice) must be known at load, as a constant or through the Shape operator.
//
// # Numbers
//
// Sums run in a fixed order, and no multiplication is fused with an addition, so equal inputs give
// equal bits on one kind of processor. Across kinds, only math.Exp and its like may differ, in the
// last bit of a double. Matrix products accumulate in the tensor's own type; reductions and norms
// of floats accumulate in double. Semantics follow the ONNX operator specification; where it is
// silent (the normalisation of a zero vector, the MAX norm of negative rows), ONNX Runtime's.
//
// # Limits
//
// A file has at most [MaxFileBytes], a graph at most [MaxNodes] nodes, a tensor at most [MaxRank]
// dimensions, and all tensors that one evaluation computes have together at most [MaxElements]
// elements and take [MaxWork] multiply-adds. Loading allocates at most [LoadAllocationFactor] bytes
// for each byte of the file plus [LoadAllocationBase]: lengths and sizes that a file only claims
// are compared with its real size before memory is taken.
package onnx
