package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// nemesisEvents are what the nemesis has sent.
const nemesisEvents = 5000

// nemesis draws disturbances, one after the other, while a load arrives.
func nemesis(events int) fault {
	return fault{
		name: "nemesis", does: fmt.Sprintf("disturbances drawn by the seed, one after the other, during %d events",
			events),
		must: "the run goes on; every event comes to its place, once and whole", within: 4 * time.Minute,
		try: func(ctx context.Context, b *bench) (string, error) {
			r, err := b.run(ctx)
			if err != nil {
				return "", err
			}
			before := r.ledger.Account()
			sending := r.startLoad(ctx, b.chance.Uint64(), events)
			drawn, err := b.disturb(ctx, r, sending.done)
			account, err := b.accounted(ctx, r, before, errors.Join(err, sending.wait(&r.view)), patience)
			return fmt.Sprintf("%d disturbances; %s", drawn, account), err
		},
	}
}

// disturb goes on until the load is sent.
func (b *bench) disturb(ctx context.Context, r *run, sent <-chan struct{}) (drawn int, err error) {
	pool := disturbances()
	for {
		select {
		case <-sent:
			return drawn, nil
		case <-ctx.Done():
			return drawn, context.Cause(ctx)
		default:
		}
		d := pool[b.chance.IntN(len(pool))]
		b.told(fmt.Sprintf("nemesis: %s: %s", d.name, d.does))
		switch err := d.do(ctx, r, b.chance); {
		case errors.Is(err, errNobody): // what the last one killed was not needed again yet
		case err != nil:
			return drawn, fmt.Errorf("disturbance %d, %s: %w", drawn+1, d.name, err)
		default:
			drawn++
		}
		if err := pass(ctx, time.Duration(100+b.chance.IntN(500))*time.Millisecond); err != nil {
			return drawn, err
		}
	}
}
