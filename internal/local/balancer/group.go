package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"diecast/internal/environment"
	"diecast/internal/local/admission"
)

// GroupOptions are those of a target group, with the defaults of one for HTTP (ELB API reference,
// CreateTargetGroup and TargetGroupAttribute).
type GroupOptions struct {
	Health HealthCheck
	// DeregistrationDelay bounds how long requests under way may take when their target goes.
	DeregistrationDelay time.Duration
	// MinimumHealthy is the number of healthy targets below which every target gets requests.
	// Default 1.
	MinimumHealthy int
	// LeastOutstanding sends a request to the target with the fewest under way, in place of round
	// robin.
	LeastOutstanding bool
}

// HealthCheck asks each target again and again. The thresholds are consecutive answers.
type HealthCheck struct {
	Path              string
	Interval, Timeout time.Duration
	// Healthy is how many good answers bring an unhealthy target back; the first good answer is
	// enough for a new one. Unhealthy is how many bad ones take a target out.
	Healthy, Unhealthy int
	// Good tells by its status whether an answer is good.
	Good func(status int) bool
}

// State of a target, as DescribeTargetHealth names it.
type State string

// States of a target.
const (
	Initial   State = "initial"
	Healthy   State = "healthy"
	Unhealthy State = "unhealthy"
	Draining  State = "draining"
)

// Group is a target group.
type Group struct {
	key     string
	options GroupOptions
	checks  *http.Client

	mutex   sync.Mutex
	targets []*target
	next    int
	retried int
}

// target is one that was registered.
type target struct {
	id, address string
	state       State
	// streak counts equal answers in a row: good ones above 0, bad ones below.
	streak   int
	reason   string
	underWay int
	// changed is closed, and made anew, when anything of this changes.
	changed chan struct{}
	// ctx ends when the target is gone: its checks end, and what requests it still has.
	ctx    context.Context
	cancel context.CancelCauseFunc
	ended  chan struct{} // closed when its checks have
}

// NewGroup is a group without targets.
func NewGroup(options GroupOptions) *Group {
	if options.MinimumHealthy == 0 {
		options.MinimumHealthy = 1
	}
	return &Group{options: options, key: admission.NewSecret(), checks: &http.Client{
		Timeout: options.Health.Timeout,
		// After each check the connection is closed (ELB user guide, "Health checks").
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Key is a secret that the group tells its targets with each request, in the header
// environment.KeyHeader: who sends none does not come from it.
func (g *Group) Key() string { return g.key }

// Register adds a target, host:port, which gets requests once a health check has succeeded.
func (g *Group) Register(id, address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("register %s: %w", id, err)
	}
	t := &target{id: id, address: address, state: Initial, reason: "not checked yet",
		changed: make(chan struct{}), ended: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.find(id) != nil {
		return fmt.Errorf("register %s: it is registered", id)
	}
	g.targets = append(g.targets, t)
	go g.check(t)
	return nil
}

// errDeregistered is why what a target had under way ended with it.
var errDeregistered = errors.New("the target was deregistered, and the deregistration delay is over")

// Deregister gives a target no more requests, and returns when those under way have been answered.
// What is not when the deregistration delay, or the context, is over is cut off, which the error
// tells. One that is not registered is left out.
func (g *Group) Deregister(ctx context.Context, id string) error {
	g.mutex.Lock()
	t := g.find(id)
	if t != nil {
		t.set(Draining, "")
	}
	g.mutex.Unlock()
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, g.options.DeregistrationDelay, errDeregistered)
	defer cancel()
	err := g.await(ctx, t, func() bool { return t.underWay == 0 })
	if err != nil {
		g.mutex.Lock()
		err = fmt.Errorf("target %s: %d requests were cut off: %w", id, t.underWay, err)
		g.mutex.Unlock()
	}
	t.cancel(errDeregistered)
	<-t.ended
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.targets = slices.DeleteFunc(g.targets, func(other *target) bool { return other == t })
	return err
}

// Stop ends the health checks and what is under way. The group has no targets from then on.
func (g *Group) Stop() {
	g.mutex.Lock()
	targets := g.targets
	g.targets = nil
	g.mutex.Unlock()
	for _, t := range targets {
		t.cancel(errDeregistered)
		<-t.ended
	}
}

// AwaitHealthy returns when a target is healthy; else when the context ends, with what the last
// health check said.
func (g *Group) AwaitHealthy(ctx context.Context, id string) error {
	return g.awaitState(ctx, id, Healthy)
}

// AwaitUnhealthy returns nil when a target is unhealthy; else when the context ends.
func (g *Group) AwaitUnhealthy(ctx context.Context, id string) error {
	return g.awaitState(ctx, id, Unhealthy)
}

func (g *Group) awaitState(ctx context.Context, id string, state State) error {
	g.mutex.Lock()
	t := g.find(id)
	g.mutex.Unlock()
	if t == nil {
		return fmt.Errorf("target %s is not registered", id)
	}
	if err := g.await(ctx, t, func() bool { return t.state == state }); err != nil {
		g.mutex.Lock()
		defer g.mutex.Unlock()
		return fmt.Errorf("target %s on %s is %s (%s): %w", id, t.address, t.state, t.reason, err)
	}
	return nil
}

// await returns when something is true of a target, which is asked under the lock, or when the
// context or the target ends.
func (g *Group) await(ctx context.Context, t *target, condition func() bool) error {
	for {
		g.mutex.Lock()
		reached, changed := condition(), t.changed
		g.mutex.Unlock()
		if reached {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.ctx.Done():
			return context.Cause(t.ctx)
		}
	}
}

// Target is what is known of one.
type Target struct {
	ID, Address string
	State       State
	// Reason says why it is not healthy.
	Reason string
}

// Targets are those that are registered.
func (g *Group) Targets() []Target {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	all := make([]Target, len(g.targets))
	for i, t := range g.targets {
		all[i] = Target{t.id, t.address, t.state, t.reason}
	}
	return all
}

// Retried counts the requests that were sent to another target after one had failed: on AWS each is
// a 502.
func (g *Group) Retried() int {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.retried
}

// OnAWS says what so many requests that were retried would have been.
func OnAWS(retried int) string {
	switch retried {
	case 0:
		return "on AWS, too, no request would have been answered with 502"
	case 1:
		return "on AWS, 1 request would have been answered with 502"
	}
	return fmt.Sprintf("on AWS, %d requests would have been answered with 502", retried)
}

// find a target under the lock; nil where there is none.
func (g *Group) find(id string) *target {
	for _, t := range g.targets {
		if t.id == id {
			return t
		}
	}
	return nil
}

// set changes a target's state under the lock. One that drains stays so.
func (t *target) set(state State, reason string) {
	if t.state == Draining {
		return
	}
	t.state, t.reason = state, reason
	t.tell()
}

// tell those who wait that something has changed, under the lock.
func (t *target) tell() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// check asks a target until it is gone, first at once.
func (g *Group) check(t *target) {
	defer close(t.ended)
	tick := time.NewTicker(g.options.Health.Interval)
	defer tick.Stop()
	for {
		err := g.ask(t)
		g.mutex.Lock()
		t.note(g.options.Health, err)
		g.mutex.Unlock()
		select {
		case <-tick.C:
		case <-t.ctx.Done():
			return
		}
	}
}

// ask is one health check.
func (g *Group) ask(t *target) error {
	request, err := http.NewRequestWithContext(t.ctx, http.MethodGet, "http://"+t.address+g.options.Health.Path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "ELB-HealthChecker/2.0")
	request.Header.Set(environment.KeyHeader, g.key)
	response, err := g.checks.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close() // the status says all
	if !g.options.Health.Good(response.StatusCode) {
		return fmt.Errorf("it answered its health check with %s", response.Status)
	}
	return nil
}

// note the outcome of a health check, under the lock.
func (t *target) note(check HealthCheck, failure error) {
	switch {
	case failure == nil:
		t.streak = max(t.streak, 0) + 1
		if t.state == Initial || t.streak >= check.Healthy {
			t.set(Healthy, "")
		}
	default:
		t.streak = min(t.streak, 0) - 1
		switch {
		case -t.streak >= check.Unhealthy:
			t.set(Unhealthy, failure.Error())
		case t.state == Initial:
			t.reason = failure.Error()
		}
	}
}

// choose picks the next target, other than those that were tried, and counts the request as under
// way; nil where there is none left.
func (g *Group) choose(tried []*target) *target {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	var able, healthy []*target
	for i := range g.targets {
		t := g.targets[(g.next+i)%len(g.targets)]
		if t.state == Draining {
			continue
		}
		able = append(able, t)
		if t.state == Healthy {
			healthy = append(healthy, t)
		}
	}
	if len(healthy) >= g.options.MinimumHealthy {
		able = healthy
	}
	able = slices.DeleteFunc(able, func(t *target) bool { return slices.Contains(tried, t) })
	if len(able) == 0 {
		return nil
	}
	chosen := able[0]
	if g.options.LeastOutstanding {
		for _, t := range able {
			if t.underWay < chosen.underWay {
				chosen = t
			}
		}
	}
	g.next = slices.Index(g.targets, chosen) + 1
	chosen.underWay++
	if len(tried) == 1 {
		g.retried++
	}
	return chosen
}

// done counts a request as answered.
func (g *Group) done(t *target) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	t.underWay--
	if t.state == Draining {
		t.tell()
	}
}

// ParseMatcher reads the statuses of a good answer, such as 200, 200-299 or 200,202 (ELB API
// reference, Matcher).
func ParseMatcher(text string) (func(status int) bool, error) {
	type span struct{ least, most int }
	var spans []span
	for part := range strings.SplitSeq(text, ",") {
		first, last, isSpan := strings.Cut(part, "-")
		if !isSpan {
			last = first
		}
		least, err := strconv.Atoi(first)
		most, lastErr := strconv.Atoi(last)
		if err := errors.Join(err, lastErr); err != nil {
			return nil, fmt.Errorf("%q is no status, no range such as 200-299, and no list of these", text)
		}
		s := span{least, most}
		if s.least < 200 || s.most > 499 || s.least > s.most {
			return nil, fmt.Errorf("%q has statuses other than 200 to 499", text)
		}
		spans = append(spans, s)
	}
	return func(status int) bool {
		return slices.ContainsFunc(spans, func(s span) bool { return s.least <= status && status <= s.most })
	}, nil
}
