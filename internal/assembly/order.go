package assembly

import "slices"

// sorted puts nodes behind what they need, otherwise leaving their order as it is. A circle is told
// once, as the nodes on it from one of them back to itself, and is then cut.
func sorted[Node comparable](nodes []Node, needs func(Node) []Node, circle func([]Node)) []Node {
	var (
		order []Node
		way   []Node
		done  = map[Node]bool{}
		visit func(Node)
	)
	visit = func(node Node) {
		if done[node] {
			return
		}
		if start := slices.Index(way, node); start >= 0 {
			circle(append(slices.Clone(way[start:]), node))
			return
		}
		way = append(way, node)
		for _, needed := range needs(node) {
			visit(needed)
		}
		way = way[:len(way)-1]
		done[node] = true
		order = append(order, node)
	}
	for _, node := range nodes {
		visit(node)
	}
	return order
}
