package platform

import (
	"context"
	"fmt"
	"time"

	"diecast/internal/local/engine"
	"diecast/internal/local/ledger"
)

const (
	// accountEvery is the pause between two accounts of a run that is up.
	accountEvery = time.Second
	// askStreamFor bounds a question to the engine of streams, which answers at once, or never.
	askStreamFor = 3 * time.Second
)

// Account of what became of the records that the run's streams accepted, as of now; of a run that
// was stopped, as of its end.
func (p *Platform) Account(ctx context.Context) ledger.Account {
	p.accounting.Lock()
	defer p.accounting.Unlock()
	if !p.account.Closed {
		p.account = p.drawUp(ctx)
	}
	return p.account
}

// drawUp looks at the consumers first: what they have, their streams have accepted.
func (p *Platform) drawUp(ctx context.Context) ledger.Account {
	told := ledger.Account{At: time.Now(), Consumers: []ledger.Consumer{}, Engines: []ledger.Engine{}}
	for _, delivery := range p.Deliveries() {
		told.Consumers = append(told.Consumers, delivery.Account())
	}
	for _, consumer := range p.Consumers() {
		one, err := consumer.Account()
		if err != nil {
			told.Unknown = append(told.Unknown, fmt.Sprintf("%s: what its function dropped: %v", one.Name, err))
		}
		told.Consumers = append(told.Consumers, one)
	}
	accepted := map[string]int{}
	for n := range told.Consumers {
		one := &told.Consumers[n]
		if _, asked := accepted[one.Stream]; !asked {
			count, err := p.accepted(ctx, one.Stream)
			if err != nil {
				told.Unknown = append(told.Unknown, err.Error())
				count = p.lastAccepted[one.Stream]
			}
			accepted[one.Stream] = count
		}
		one.Accepted = accepted[one.Stream]
		one.Weigh()
	}
	p.lastAccepted = accepted
	for _, one := range p.engines.Memory() {
		told.Engines = append(told.Engines, ledger.Engine{Name: one.Name, Memory: one.Taken, Limit: one.Limit})
	}
	return told
}

func (p *Platform) accepted(ctx context.Context, stream string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, askStreamFor)
	defer cancel()
	return engine.Kinesalite.In(p.engines).Accepted(ctx, stream)
}

// beginAccounts keeps the account in the run's folder until the returned function is called.
func (p *Platform) beginAccounts(options Options) (stop func()) {
	tell := options.Told
	if tell == nil {
		tell = func(string) {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		p.keepAccount(ctx, options.Dir, tell)
	}()
	return func() {
		cancel()
		<-over
	}
}

// keepAccount writes the account into the run's folder again and again until the context ends, and
// warns once of each engine that is close to its limit.
func (p *Platform) keepAccount(ctx context.Context, dir string, tell func(line string)) {
	warned, failed := map[string]bool{}, false
	tick := time.NewTicker(accountEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		drawn := p.Account(ctx)
		if ctx.Err() != nil {
			return
		}
		if err := drawn.Write(dir); err != nil && !failed {
			failed = true
			tell(fmt.Sprintf("the account of the run cannot be written: %v", err))
		}
		for _, one := range drawn.Engines {
			if one.Nearly() && !warned[one.Name] {
				warned[one.Name] = true
				tell(fmt.Sprintf("%s takes %d MiB of memory; from %d MiB on it refuses to store more: start the run "+
					"anew before that", one.Name, one.Memory>>20, one.Limit>>20))
			}
		}
	}
}

// closeAccount draws the account up for the last time, once the consumers have ended and while
// their streams still answer.
func (p *Platform) closeAccount(ctx context.Context) {
	drawn := p.Account(ctx)
	drawn.Closed = true
	p.accounting.Lock()
	defer p.accounting.Unlock()
	p.account = drawn
}
