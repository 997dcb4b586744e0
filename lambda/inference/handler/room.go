package handler

import "diecast/internal/embeddings"

// leastMemory is what a function has at least, in MiB.
const leastMemory = 128

// room is the function's memory in bytes, and how it is shared out: a quarter for vectors, an
// eighth for answers. The rest is the program's own, the batch's under way, and what the garbage
// collector has not yet seen.
type room int

const (
	// mostVectors is where exact search ends: a batch of new questions would take seconds.
	mostVectors = 100_000
	// vectorBytes is what is kept of a vector with the longest id. Those of a model without towers
	// are kept of items and users, and beside those of the model before while a switch is under
	// way.
	vectorKinds, modelsAtOnce = 2, 2
	longestID                 = 64
	// answerBytes bounds one remembered answer: at most rememberedItems, each with its id, its
	// measure and the slice's own, and a key with two places of 100 characters.
	answerBytes = rememberedItems*(16+longestID+8) + 1<<10
)

// vectors is how many vectors of each kind there is room for.
func (r room) vectors() int {
	return min(mostVectors, int(r)/4/(vectorKinds*modelsAtOnce*embeddings.ExactBytes(longestID)))
}

// answers is how many answers of each kind there is room for.
func (r room) answers() int {
	const kinds = 2
	return max(1, int(r)/8/(kinds*modelsAtOnce*answerBytes))
}
