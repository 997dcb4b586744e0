package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"diecast/internal/local/ledger"
	"diecast/test/faults/audit"
)

// fault is one thing that goes wrong, and what must hold all the same.
type fault struct {
	// name in the table.
	name string
	// does says what is done to the platform, must what must hold.
	does, must string
	// within bounds the whole trial.
	within time.Duration
	// lane is where it is tried, beside those of the other lanes.
	lane lane
	// try makes it happen. The account is what a person reads of it; the error says what did not
	// hold.
	try func(context.Context, *bench) (account string, err error)
}

// lane is a row of faults that are tried one after the other.
type lane int

const (
	// sharing are the faults through which a run goes on, which they share: it is that of a fault
	// that names no other.
	sharing lane = iota
	// ending are those that end their run.
	ending
	// apart are those that need none.
	apart
	lanes // how many there are
)

// folder of a lane's runs, below that of all.
func (l lane) folder() string { return [lanes]string{"sharing", "ending", "apart"}[l] }

// bench is where the faults of a lane are tried: one run that they share as long as it stands.
type bench struct {
	settings
	shared *run
	// chance is a fault's own, of the seed and its name: alone it draws what it draws among others.
	chance *rand.Rand
}

// draw gives the chance of a fault.
func (b *bench) draw(name string) {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(name)) // never fails
	b.chance = rand.New(rand.NewPCG(b.seed, hash.Sum64()))
}

// run is the shared run: started where there is none, or none any more.
func (b *bench) run(ctx context.Context) (*run, error) {
	if b.shared != nil && b.shared.alive() {
		return b.shared, nil
	}
	b.drop()
	started, err := b.start(ctx)
	b.shared = started
	return started, err
}

// drop has the next fault begin with a run of its own.
func (b *bench) drop() {
	if b.shared != nil {
		b.shared.kill()
		b.shared = nil
	}
}

// close ends the shared run as a person does.
func (b *bench) close(ctx context.Context) error {
	if b.shared == nil {
		return nil
	}
	r := b.shared
	b.shared = nil
	return r.stop(ctx)
}

const (
	// eventsEach are sent around each fault.
	eventsEach = 200
	// patience is how long the last event of a load may take to its place.
	patience = time.Minute
)

// disturbance is what a run lives through.
type disturbance struct {
	name, does string
	do         func(context.Context, *run, *rand.Rand) error
}

// survived is a fault through which the run goes on: every event that the stream took comes to its
// place.
func survived(d disturbance) fault {
	return fault{
		name: d.name, does: d.does, must: "the run goes on; every event comes to its place, once and whole",
		within: 3 * time.Minute, lane: sharing,
		try: func(ctx context.Context, b *bench) (string, error) {
			r, err := b.run(ctx)
			if err != nil {
				return "", err
			}
			before := r.ledger.Account()
			sending := r.startLoad(ctx, b.chance.Uint64(), eventsEach)
			err = errors.Join(pass(ctx, 300*time.Millisecond), d.do(ctx, r, b.chance))
			return b.accounted(ctx, r, before, errors.Join(err, sending.wait(&r.view)), patience)
		},
	}
}

// accounted waits until everything is at its place. Whatever is wrong stays in the run's ledger, so
// the next fault gets another run.
func (b *bench) accounted(
	ctx context.Context, r *run, before audit.Account, err error, patience time.Duration,
) (string, error) {
	account, settleErr := r.settle(r.while(ctx), patience)
	if !r.alive() {
		err = errors.Join(err, fmt.Errorf("the run has ended: %w: %s", r.err, r.lastWords()))
	}
	if err = errors.Join(err, settleErr); err != nil {
		b.drop()
	}
	return account.Since(before).String(), err
}

// while is a context that also ends when the run does.
func (r *run) while(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() { // ends with the trial, whose context is ended
		select {
		case <-r.exited:
			cancel(errors.New("the run has ended"))
		case <-ctx.Done():
		}
	}()
	return ctx
}

// inWords is a duration of whole seconds for people.
func inWords(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }

// died is the death of a part that holds what nobody else has: the run ends, and says why.
func died(lost part, named string) fault {
	return fatal(lost.name+" is killed", "SIGKILL to "+lost.name, named,
		func(_ context.Context, r *run) error { return r.send(lost, syscall.SIGKILL) })
}

// fatal is a fault that ends the run.
func fatal(name, does, named string, do func(context.Context, *run) error) fault {
	return fault{
		name: name, does: does,
		must: fmt.Sprintf("the run ends non-zero within %s and names what was lost, and its log; nothing is left; "+
			"nothing is wrong with what came to its place before", inWords(noticeWithin)),
		within: 3 * time.Minute, lane: ending,
		try: func(ctx context.Context, b *bench) (string, error) {
			return b.ending(ctx, noticeWithin, do, func(r *run) error {
				if r.err == nil {
					return errors.New("the run ended with 0, as if nothing had happened")
				}
				return r.named(named)
			})
		},
	}
}

// asked is a signal to the run: it ends, and leaves nothing.
func asked(signal syscall.Signal, name string) fault {
	return orderly(name, "SIG"+name, func(_ context.Context, r *run) (func() error, error) {
		return func() error { return nil }, r.signal(signal)
	})
}

// askedByMany is SIGTERM from several: they want the same end, and none of them hurries it.
func askedByMany() fault {
	const downs = 2
	return orderly("TERM", "`local down`, twice at once, and SIGTERM by hand shortly after",
		func(ctx context.Context, r *run) (func() error, error) {
			answers := make(chan error, downs)
			for range downs {
				go func() {
					_, err := r.operator(ctx, "local", "down")
					answers <- err
				}()
			}
			err := pass(ctx, 500*time.Millisecond)
			if late := r.signal(syscall.SIGTERM); !errors.Is(late, os.ErrProcessDone) {
				err = errors.Join(err, late)
			}
			return func() error { return errors.Join(<-answers, <-answers) }, err
		})
}

// orderly is an end that somebody asks for. What do returns is to hold once the run has ended.
func orderly(name, does string, do func(context.Context, *run) (func() error, error)) fault {
	return fault{
		name: "SIG" + name + " under load", does: does + ", while events arrive",
		must: fmt.Sprintf("the run has ended within %s; nothing is left; no event became an error by it",
			inWords(endWithin)),
		within: 3 * time.Minute, lane: ending,
		try: func(ctx context.Context, b *bench) (string, error) {
			var then func() error
			return b.ending(ctx, endWithin, func(ctx context.Context, r *run) (err error) {
				then, err = do(ctx, r)
				return err
			}, func(r *run) error { return errors.Join(then(), nothingFailed(r)) })
		},
	}
}

// refusedByContract is the code of what the processor itself refuses.
const refusedByContract = "Lambda.ProcessingFailedStatus"

// nothingFailed: the account that the run tells at its end knows of no other error.
func nothingFailed(r *run) error {
	account, err := r.closing()
	if err != nil {
		return err
	}
	var problems []error
	for _, c := range account.Consumers {
		for code, n := range c.InError {
			if code != refusedByContract {
				problems = append(problems, fmt.Errorf("%s: %d records became errors by the end: %s", c.Name, n, code))
			}
		}
		if lost := c.GivenUp + ledger.Sum(c.Discarded); lost > 0 {
			problems = append(problems, fmt.Errorf("%s: %d records were given up by the end", c.Name, lost))
		}
	}
	return errors.Join(problems...)
}

// ending has a run end under load, and looks at what it leaves.
func (b *bench) ending(ctx context.Context, within time.Duration, do func(context.Context, *run) error,
	then func(*run) error) (string, error) {
	r, err := b.run(ctx)
	if err != nil {
		return "", err
	}
	defer b.drop()
	before := r.ledger.Account()
	sending := r.startLoad(ctx, b.chance.Uint64(), 10*eventsEach) // it ends with the run
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.watch(watching)
	}()
	err = pass(ctx, 2*time.Second) // some events have come to their places, others are on their way
	r.started = r.processes()
	err = errors.Join(err, do(ctx, r))
	took, endErr := r.ended(ctx, within)
	if endErr == nil && took > within+slack {
		endErr = fmt.Errorf("it took %.1f s, %s are allowed", took.Seconds(), inWords(within))
	}
	if endErr != nil {
		r.kill() // nobody waits for it any longer
	}
	stop()
	<-watched
	sending.waitCutOff(&r.view)
	account := r.ledger.Account().Since(before)
	err = errors.Join(err, endErr, account.Consistent())
	for code, n := range account.Failed {
		err = errors.Join(err, fmt.Errorf("%d events that keep the contract became errors: %s", n, code))
	}
	if endErr == nil {
		err = errors.Join(err, r.nothingLeft(ctx))
		if then != nil {
			err = errors.Join(err, then(r))
		}
	}
	if endErr != nil {
		return account.String(), err
	}
	return fmt.Sprintf("ended after %.1f s; until then %s", took.Seconds(), account), err
}

// outcome of one fault.
type outcome struct {
	fault
	account string
	err     error
	took    time.Duration
}

// tried is one fault, tried within its time.
func (f fault) tried(ctx context.Context, b *bench) outcome {
	ctx, cancel := context.WithTimeoutCause(ctx, f.within, fmt.Errorf("%s are over", inWords(f.within)))
	defer cancel()
	b.draw(f.name)
	begun := time.Now()
	account, err := f.try(ctx, b)
	return outcome{fault: f, account: account, err: err, took: time.Since(begun)}
}

// all tries the faults of each lane one after the other, lane beside lane, and gives each outcome
// as it comes, one at a time.
func all(ctx context.Context, settings settings, faults []fault, each func(outcome)) error {
	if err := os.RemoveAll(settings.folder); err != nil {
		return err
	}
	var telling sync.Mutex
	var beside sync.WaitGroup
	var ends [lanes]error
	for l := range lanes {
		own := settings
		own.folder = filepath.Join(settings.folder, l.folder())
		b := &bench{settings: own}
		beside.Go(func() {
			for _, f := range faults {
				if f.lane != l || ctx.Err() != nil {
					continue
				}
				settings.told(f.name + ": " + f.does)
				one := f.tried(ctx, b)
				telling.Lock()
				each(one)
				telling.Unlock()
			}
			ends[l] = b.close(context.WithoutCancel(ctx))
		})
	}
	beside.Wait()
	return errors.Join(ends[:]...)
}
