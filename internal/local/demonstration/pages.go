package demonstration

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/csv"
	"errors"
	"fmt"
	"html"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"diecast/internal/deployment"
	"diecast/internal/environment"
)

// PagesReport is what the web tier's pages show.
type PagesReport struct {
	Address string
	// Withheld says that sales are shown to nobody.
	Withheld bool
	// Lines is the number of product lines that sold, BestLine the one with the largest revenue;
	// revenues have two decimals.
	Lines                          int
	BestLine, BestRevenue, Revenue string
	// Servers answered, as instance and zone.
	Servers []string
}

const (
	// pagesPatience is how long the figures may take to be read from the source.
	pagesPatience = 30 * time.Second
	// asking is how many provenances are read: by turns, each server tells its own.
	asking = 4
	// largestPage that is read, in bytes.
	largestPage = 1 << 20
)

// tells finds what a page tells of who answered.
var tells = regexp.MustCompile(`id="(instance|zone)">([^<]*)<`)

// Pages reads the pages at an address.
func Pages(ctx context.Context, address string) (PagesReport, error) {
	base, err := deployment.PageLogin(address)
	if err != nil {
		return PagesReport{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, pagesPatience,
		fmt.Errorf("there are no figures after %s", pagesPatience))
	defer cancel()
	client := pagesClient(base)
	defer client.CloseIdleConnections()
	p := pages{client: client, base: base}
	report := PagesReport{Address: address}
	if err := p.readSales(ctx, &report); err != nil {
		return report, err
	}
	for range asking {
		page, _, err := p.get(ctx, "/provenance")
		if err != nil {
			return report, err
		}
		told := map[string]string{}
		for _, found := range tells.FindAllStringSubmatch(string(page), -1) {
			told[found[1]] = html.UnescapeString(found[2])
		}
		if server := told["instance"] + " in " + told["zone"]; !slices.Contains(report.Servers, server) {
			report.Servers = append(report.Servers, server)
		}
	}
	slices.Sort(report.Servers)
	return report, nil
}

func pagesClient(base *url.URL) *http.Client {
	return &http.Client{Transport: &http.Transport{
		// The certificate of a run on this machine is signed by nobody.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: environment.Loopback(base.Hostname())},
	}}
}

type pages struct {
	client *http.Client
	base   *url.URL
}

// get is a page with its status.
func (p pages) get(ctx context.Context, path string) (page []byte, status int, err error) {
	at, err := p.base.Parse(path)
	if err != nil {
		return nil, 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, 0, err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close()
	page, err = io.ReadAll(io.LimitReader(response.Body, largestPage))
	return page, response.StatusCode, err
}

// readSales reads the revenue by product line, once the servers have it from the source.
func (p pages) readSales(ctx context.Context, report *PagesReport) error {
	const path = "/sales/product-lines.csv?period=all"
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		table, status, err := p.get(ctx, path)
		switch {
		case err != nil:
			return err
		case status == http.StatusForbidden:
			report.Withheld = true
			return nil
		case status == http.StatusOK:
			return report.add(table)
		case status != http.StatusServiceUnavailable:
			return fmt.Errorf("%s%s answers %d: %s", p.base.Redacted(), path, status, table)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s%s answers %d: %s (%w)", p.base.Redacted(), path, status, table, context.Cause(ctx))
		}
	}
}

// add the product lines of a table.
func (r *PagesReport) add(table []byte) error {
	rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	if err != nil {
		return fmt.Errorf("the sales by product line: %w", err)
	}
	if len(rows) < 2 {
		return errors.New("the sales by product line have no line")
	}
	line, revenue := slices.Index(rows[0], "product_line"), slices.Index(rows[0], "revenue")
	if line < 0 || revenue < 0 {
		return fmt.Errorf("the sales by product line have the columns %q: product_line and revenue are needed", rows[0])
	}
	total, best := new(big.Rat), new(big.Rat)
	for _, row := range rows[1:] {
		amount, ok := new(big.Rat).SetString(row[revenue])
		if !ok {
			return fmt.Errorf("the revenue of %s is %q", row[line], row[revenue])
		}
		total.Add(total, amount)
		if r.BestLine == "" || amount.Cmp(best) > 0 {
			r.BestLine, best = row[line], amount
		}
	}
	r.Lines, r.BestRevenue, r.Revenue = len(rows)-1, best.FloatString(2), total.FloatString(2)
	return nil
}
