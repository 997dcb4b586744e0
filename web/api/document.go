package api

import _ "embed"

// openapi is the contract.
//
//go:embed openapi.json
var openapi []byte

func (a *API) document(r *request) (*answer, *problem) {
	if refused := r.problem(); refused != nil {
		return nil, refused
	}
	return &answer{content: openapi, cache: a.privately + ", max-age=3600"}, nil
}
