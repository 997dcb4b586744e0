package onnx

import (
	"fmt"
	"slices"
	"strings"
)

// changes are the versions of the operator set in which the specification changed each supported
// operator; between two of them it stays the same. The first is the one in force in [MinOpset], or
// the one that the operator came with. All up to [MaxOpset] were read: what changed are types that
// are refused here, and what the entries of [operators] and their attributes bound.
// https://github.com/onnx/onnx/blob/main/docs/Changelog.md
var changes = map[string][]int{
	"Abs":                {6, 13},
	"Add":                {7, 13, 14},
	"And":                {7},
	"ArgMax":             {1, 11, 12, 13},
	"BatchNormalization": {7, 9, 14, 15},
	"Cast":               {6, 9, 13, 19, 21, 23, 24, 25, 28},
	"Clip":               {6, 11, 12, 13},
	"Concat":             {4, 11, 13},
	"Constant":           {1, 9, 11, 12, 13, 19, 21, 23, 24, 25},
	"ConstantOfShape":    {9, 20, 21, 23, 24, 25},
	"Div":                {7, 13, 14},
	"Dropout":            {7, 10, 12, 13, 22},
	"Elu":                {6, 22},
	"Equal":              {7, 11, 13, 19},
	"Erf":                {9, 13},
	"Exp":                {6, 13},
	"Expand":             {8, 13},
	"Flatten":            {1, 9, 11, 13, 21, 23, 24, 25},
	"Gather":             {1, 11, 13},
	"Gelu":               {20},
	"Gemm":               {7, 9, 11, 13},
	"Greater":            {7, 9, 13},
	"GreaterOrEqual":     {12, 16},
	"Identity":           {1, 13, 14, 16, 19, 21, 23, 24, 25},
	"LayerNormalization": {17},
	"LeakyRelu":          {6, 16},
	"Less":               {7, 9, 13},
	"LessOrEqual":        {12, 16},
	"Log":                {6, 13},
	"LogSoftmax":         {1, 11, 13},
	"LpNormalization":    {1, 22},
	"MatMul":             {1, 9, 13},
	"Max":                {6, 8, 12, 13},
	"Min":                {6, 8, 12, 13},
	"Mul":                {7, 13, 14},
	"Neg":                {6, 13},
	"Not":                {1},
	"Or":                 {7},
	"Pow":                {7, 12, 13, 15},
	"Reciprocal":         {6, 13},
	"ReduceL1":           {1, 11, 13, 18},
	"ReduceL2":           {1, 11, 13, 18},
	"ReduceMax":          {1, 11, 12, 13, 18, 20},
	"ReduceMean":         {1, 11, 13, 18},
	"ReduceMin":          {1, 11, 12, 13, 18, 20},
	"ReduceSum":          {1, 11, 13},
	"ReduceSumSquare":    {1, 11, 13, 18},
	"Relu":               {6, 13, 14},
	"Reshape":            {5, 13, 14, 19, 21, 23, 24, 25},
	"Shape":              {1, 13, 15, 19, 21, 23, 24, 25},
	"Sigmoid":            {6, 13},
	"Slice":              {1, 10, 11, 13},
	"Softmax":            {1, 11, 13},
	"Sqrt":               {6, 13},
	"Squeeze":            {1, 11, 13, 21, 23, 24, 25},
	"Sub":                {7, 13, 14},
	"Tanh":               {6, 13},
	"Transpose":          {1, 13, 21, 23, 24, 25},
	"Unsqueeze":          {1, 11, 13, 21, 23, 24, 25},
	"Where":              {9, 16},

	"ai.onnx.ml.ArrayFeatureExtractor": {1},
	"ai.onnx.ml.Normalizer":            {1},
	"ai.onnx.ml.OneHotEncoder":         {1},
	"ai.onnx.ml.Scaler":                {1},
}

// versionOf is the version of an operator that is in force in an opset: the last change up to it; 0
// where the operator is unknown, or came later.
func versionOf(title string, opset int64) int {
	version := 0
	for _, change := range changes[title] {
		if int64(change) <= opset {
			version = change
		}
	}
	return version
}

// opsetVersions is the imported version by domain. Of a domain that is imported several times,
// which merging graphs leaves behind, the highest counts (onnx.proto, ModelProto.opset_import). An
// import that no node uses does no harm, whatever its domain and version.
func opsetVersions(imports []opsetProto) map[string]int64 {
	versions := make(map[string]int64, len(imports))
	for _, o := range imports {
		domain := normalDomain(o.domain)
		if version, twice := versions[domain]; !twice || o.version > version {
			versions[domain] = o.version
		}
	}
	return versions
}

// normalDomain spells the default domain one way; onnx.proto allows two.
func normalDomain(domain string) string {
	if domain == "ai.onnx" {
		return ""
	}
	return domain
}

// opsetBounds are the lowest and highest supported version of a domain with supported operators.
func opsetBounds(domain string) (low, high int64) {
	if domain == mlDomain {
		return MinMLOpset, MaxMLOpset
	}
	return MinOpset, MaxOpset
}

// opsetText names a version of a domain's operator set as errors do.
func opsetText(domain string, version int64) string {
	if domain == "" {
		return fmt.Sprintf("opset %d", version)
	}
	return fmt.Sprintf("opset %d of %s", version, domain)
}

// form is the entry that holds for an operator in an opset. Its error names the operator, then the
// opset, then how to export; its kind says whether any opset has the operator.
func form(domain, name string, opset int64) (*operator, problemKind, error) {
	title := title(domain, name)
	if changes[title] == nil {
		return nil, unknownOperator, fmt.Errorf("operator %s is not supported (%s); %s", title,
			opsetText(domain, opset), exportWithout(domain, name))
	}
	low, high := opsetBounds(domain)
	first, latest := int64(0), high
	for i := range operators {
		op := &operators[i]
		if op.domain != domain || op.name != name {
			continue
		}
		if since := max(low, int64(changes[title][0]), int64(op.since)); first == 0 || since < first {
			first = since
		}
		if opset >= max(low, int64(op.since)) && opset <= high && (op.until == 0 || opset <= int64(op.until)) &&
			versionOf(title, opset) > 0 {
			return op, 0, nil
		}
	}
	because := "is not supported in " + opsetText(domain, opset)
	switch came := int64(changes[title][0]); {
	case opset < came:
		because = fmt.Sprintf("is not in %s; it came with %d", opsetText(domain, opset), came)
	case opset > high:
		because += ", which is newer than this program"
	case opset >= low:
		because += ", where it means something else"
	}
	return nil, unsupportedOpset, fmt.Errorf("operator %s %s (%d to %d are supported); %s", title, because, first,
		latest, exportWith(domain, first, latest))
}

// exportWith says how to get a model of an opset within the bounds.
func exportWith(domain string, first, latest int64) string {
	if domain == mlDomain {
		return `export with skl2onnx.to_onnx(..., target_opset={"": 18, "ai.onnx.ml": 3})`
	}
	// What all exporters of today write, where the operator is in it.
	opset := min(max(18, first), latest)
	return fmt.Sprintf("export with torch.onnx.export(..., opset_version=%d), skl2onnx.to_onnx(..., target_opset=%d) "+
		"or tf2onnx --opset %d", opset, opset, opset)
}

// exportWithout says how to get a model that does without an operator.
func exportWithout(domain, name string) string {
	switch {
	case name == "ZipMap":
		return "export the classifier with options={\"zipmap\": False}"
	case strings.HasPrefix(name, "TreeEnsemble") || slices.Contains([]string{"SVMClassifier", "SVMRegressor"}, name):
		return "trees and support vector machines are not evaluated: export a perceptron"
	case name == "Imputer":
		return "leave the imputer out of the exported pipeline, and fill missing values before the model"
	case domain == mlDomain:
		return "leave this step out of the exported pipeline and do it before the model, or put a scaler, a " +
			"normalizer or a one-hot encoder in its place"
	case strings.HasPrefix(domain, "com.microsoft"):
		return "export it as the exporter wrote it, or optimise with ORT_ENABLE_BASIC at most"
	case slices.Contains([]string{"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}, name):
		return "export the model in float32, before quantising"
	case slices.Contains([]string{"If", "Loop", "Scan"}, name):
		return "export with fixed branches and loops, and the batch as the only free dimension"
	}
	return "export a perceptron and its preprocessing, in evaluation mode, of operators that internal/onnx/doc.go lists"
}
