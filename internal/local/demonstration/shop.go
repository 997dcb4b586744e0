package demonstration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"diecast/internal/deployment"
)

// ShopReport is what the shop's page shows to a visitor who puts a product into the cart.
type ShopReport struct {
	// Products is how many the shop sells; Looked is the code of the one that went into the cart.
	Products int
	Looked   string
	// Took is the time from the click to the page that shows what follows from it.
	Took time.Duration
}

// shopPath is the shop's, shopEvents and shopLive those that its page asks.
const (
	shopPath, shopEvents, shopLive = "/shop", "/shop/events", "/shop/live"
	// shopPatience is how long a click may take to be answered.
	shopPatience = 20 * time.Second
	// guestNumber is no customer's.
	guestNumber = 2_000_000_000
)

var (
	shopFound = regexp.MustCompile(`id="found">[0-9,]+ to [0-9,]+ of ([0-9,]+)`)
	shopCode  = regexp.MustCompile(`data-code="([^"]+)"`)
)

// ShopAddress is the shop's, of the address of all pages: who opens it is let in as there.
func ShopAddress(pages string) (string, error) {
	address, err := url.Parse(pages)
	if err != nil {
		return "", fmt.Errorf("the pages' address: %w", err)
	}
	address.Path = shopPath
	return address.String(), nil
}

// Shop visits the shop at the pages' address, puts a product into the cart, and waits until what is
// recommended upon that is shown.
func Shop(ctx context.Context, address string) (ShopReport, error) {
	base, err := deployment.PageLogin(address)
	if err != nil {
		return ShopReport{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, shopPatience,
		fmt.Errorf("the click is not answered after %s", shopPatience))
	defer cancel()
	client := pagesClient(base)
	defer client.CloseIdleConnections()
	p := pages{client: client, base: base}
	var report ShopReport
	page, status, err := p.shop(ctx)
	if err != nil {
		return report, err
	}
	found, code := shopFound.FindSubmatch(page), shopCode.FindSubmatch(page)
	if found == nil || code == nil {
		return report, fmt.Errorf("%s%s answers %d and shows no products", p.base.Redacted(), shopPath, status)
	}
	report.Products, err = strconv.Atoi(strings.ReplaceAll(string(found[1]), ",", ""))
	if err != nil {
		return report, fmt.Errorf("the number of products: %w", err)
	}
	report.Looked = string(code[1])
	session, event := uuid.NewString(), uuid.NewString()
	answers, err := p.ask(ctx, http.MethodGet, shopLive, nil, "Diecast-Session", session)
	if err != nil {
		return report, err
	}
	defer answers.Close()
	clicked, err := json.Marshal(map[string]any{
		"session_id": session, "event_id": event, "event_type": "cart", "customer_number": guestNumber,
		"city": "Nantes", "country": "France", "credit_limit": 21000,
		"browse_history": []map[string]any{{"product_code": report.Looked, "quantity": 1, "in_shopping_cart": true}},
	})
	if err != nil {
		return report, err
	}
	begun := time.Now()
	taken, err := p.ask(ctx, http.MethodPost, shopEvents, clicked, "Content-Type", "application/json")
	if err != nil {
		return report, err
	}
	if err := taken.Close(); err != nil {
		return report, err
	}
	if err := awaited(answers, event); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return report, fmt.Errorf("%s%s: %w", p.base.Redacted(), shopLive, err)
	}
	report.Took = time.Since(begun)
	return report, nil
}

// shop is the page, once its server has read the catalogue.
func (p pages) shop(ctx context.Context) (page []byte, status int, err error) {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		page, status, err = p.get(ctx, shopPath)
		if err != nil || status != http.StatusServiceUnavailable {
			return page, status, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, 0, fmt.Errorf("%s%s answers %d (%w)", p.base.Redacted(), shopPath, status, context.Cause(ctx))
		}
	}
}

// ask with a header; the answer is one of success.
func (p pages) ask(ctx context.Context, method, path string, body []byte, header, value string) (io.ReadCloser, error) {
	at, err := p.base.Parse(path)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set(header, value)
	response, err := p.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 {
		defer response.Body.Close()
		why, err := io.ReadAll(io.LimitReader(response.Body, largestPage))
		return nil, errors.Join(err,
			fmt.Errorf("%s%s answers %d: %s", p.base.Redacted(), path, response.StatusCode, why))
	}
	return response.Body, nil
}

// awaited reads the lines of a stream until one is of an event.
func awaited(lines io.Reader, event string) error {
	read := bufio.NewScanner(lines)
	read.Buffer(nil, largestPage)
	for read.Scan() {
		var line struct{ Event string }
		if err := json.Unmarshal(read.Bytes(), &line); err != nil {
			return err
		}
		if line.Event == event {
			return nil
		}
	}
	if err := read.Err(); err != nil {
		return err
	}
	return errors.New("the answers ended before the click was among them")
}
