package api

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"diecast/internal/activity"
	"diecast/internal/embeddings"
	"diecast/internal/models/similar"
	"diecast/internal/recommendation"
	"diecast/internal/strictjson"
)

const (
	// byDefault and most are how many rows a page has.
	byDefault, most = 20, 100
	// similarByDefault is the course's number of items.
	similarByDefault = 5
	// productsAge is for how many seconds what is the same for everybody may be kept. Models switch
	// rarely, and a server notices after ten seconds.
	productsAge = "60"
)

// page is the part of a list behind the item whose id is after, and the address of the next part.
func page[T any](r *request, all []T, id func(T) string) (rows []T, next string) {
	limit, after := r.limit(byDefault, most), r.after()
	begin := 0
	if after != "" {
		last := slices.IndexFunc(all, func(one T) bool { return id(one) == after })
		if last < 0 {
			r.refuse("query", "after", "got "+strictjson.Shown(after, true)+
				", which the list does not have now; begin with the first page, without it")
		}
		begin = last + 1
	}
	end := min(len(all), begin+limit)
	rows = append([]T{}, all[begin:end]...)
	if end < len(all) {
		values := url.Values{}
		for name, value := range r.values {
			values[name] = value
		}
		values.Set("limit", strconv.Itoa(limit))
		values.Set("after", id(rows[len(rows)-1]))
		next = r.URL.EscapedPath() + "?" + values.Encode()
	}
	return rows, next
}

func (a *API) popular(r *request) (*answer, *problem) {
	// What is wrong with the request is told even where the ranking is away.
	r.limit(byDefault, most)
	r.after()
	if refused := r.problem(); refused != nil {
		return nil, refused
	}
	ranking, err := a.options.Popular(r.ctx)
	if err != nil {
		return nil, a.away(r, err, "The most popular products cannot be read at the moment.")
	}
	items, next := page(r, ranking.Items, func(item recommendation.Item) string { return item.ID })
	if refused := r.problem(); refused != nil {
		return nil, refused
	}
	content := struct {
		Items        []recommendation.Item `json:"items"`
		ModelVersion string                `json:"model_version"`
	}{items, ranking.ModelVersion}
	return &answer{content: content, next: next, cache: a.privately + ", max-age=" + productsAge}, nil
}

func (a *API) similar(r *request) (*answer, *problem) {
	limit := r.limit(similarByDefault, similar.Most)
	if len(r.code) > activity.MaxProductCode || !activity.IsIdentifier(r.code) {
		r.refuse("path", "code", "got "+strictjson.Shown(r.code, true)+", want 1 to "+
			strconv.Itoa(activity.MaxProductCode)+" visible ASCII characters without spaces")
	}
	if refused := r.problem(); refused != nil {
		return nil, refused
	}
	found, err := a.options.Similar.Similar(r.ctx, r.code)
	switch {
	case errors.Is(err, embeddings.ErrNoActiveModel):
		return nil, a.away(r, err, "There is no model yet, so no product is similar to another.")
	case err != nil:
		return nil, a.away(r, err, "Similar products cannot be read at the moment.")
	case len(found.Items) == 0:
		return nil, &problem{Status: http.StatusNotFound, Reason: "unknown_product",
			Detail: "The active model does not know this product."}
	}
	content := struct {
		ProductCode  string                     `json:"product_code"`
		Items        []recommendation.Neighbour `json:"similar_items"`
		ModelVersion string                     `json:"model_version"`
	}{r.code, found.Items[:min(limit, len(found.Items))], found.ModelVersion}
	return &answer{content: content, cache: a.privately + ", max-age=" + productsAge}, nil
}
