package process

// leastMemory is taken for that of a machine which does not tell: the least on which all engines
// run.
const leastMemory = 8 << 30
