package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// firstPause and longestPause are between two tries to replace an instance.
	firstPause   = time.Second
	longestPause = 30 * time.Second
	// lastRequests is how long what is under way may take when the whole group ends.
	lastRequests = 5 * time.Second
	// lastBreath is how long an instance may then take to end by itself. A server waits longer for
	// requests that a load balancer may still send; here none comes.
	lastBreath = 300 * time.Millisecond
)

var errStopped = errors.New("the group was stopped")

// group is one that was added.
type group struct {
	Group
	host    *Host
	created time.Time

	ctx    context.Context // ends when the group is stopped
	cancel context.CancelCauseFunc
	work   sync.WaitGroup
	// changing is held by who launches and retires: one at a time.
	changing sync.Mutex

	mutex sync.Mutex
	// executable is what a replacement runs.
	executable string
	instances  []*instance
	refreshes  []*refresh
}

func newGroup(host *Host, added Group, executable string) *group {
	g := &group{Group: added, host: host, executable: executable, created: time.Now()}
	g.ctx, g.cancel = context.WithCancelCause(context.Background())
	return g
}

// fill launches all instances side by side.
func (g *group) fill(ctx context.Context) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	launched := make([]*instance, g.Size)
	filling, launching := errgroup.WithContext(ctx)
	for n := range launched {
		filling.Go(func() (err error) {
			launched[n], err = g.launch(launching, g.Zones[n%len(g.Zones)], g.executable)
			return err
		})
	}
	err := filling.Wait()
	for _, i := range launched {
		if i != nil {
			g.admit(i, nil)
		}
	}
	return err
}

// admit makes a healthy instance one of the group, in the place of another where there is one, and
// watches it.
func (g *group) admit(i, inPlaceOf *instance) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if at := slices.Index(g.instances, inPlaceOf); at >= 0 {
		g.instances[at] = i
	} else {
		g.instances = append(g.instances, i)
	}
	g.work.Go(func() { g.watch(i) })
}

// members are the instances of the moment.
func (g *group) members() []*instance {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return slices.Clone(g.instances)
}

// watch waits until an instance ends or is found unhealthy, and then has it replaced.
func (g *group) watch(i *instance) {
	asking, cancel := context.WithCancel(g.ctx)
	defer cancel()
	unhealthy := make(chan error, 1)
	g.work.Go(func() { unhealthy <- g.Targets.AwaitUnhealthy(asking, i.id) })
	var why string
	select {
	case <-i.server.Exited():
		why = fmt.Sprintf("has ended: %v", i.server.Err())
	case <-i.metadata.served:
		why = "has lost its metadata service"
	case err := <-unhealthy:
		if err != nil { // deregistered, or the group ends
			return
		}
		why = "fails its health checks"
	case <-i.retired:
		return
	case <-g.ctx.Done():
		return
	}
	cancel()
	g.changing.Lock()
	defer g.changing.Unlock()
	if !slices.Contains(g.members(), i) { // meanwhile replaced
		return
	}
	g.Told(fmt.Sprintf("instance %s in %s %s; another takes its place", i.id, i.zone, why))
	g.replaceLost(i)
}

// replaceLost replaces an instance that serves no more, until that succeeds or the group ends.
func (g *group) replaceLost(i *instance) {
	// An instance that has ended by itself was told of.
	_ = g.retire(g.ctx, g.ctx, i)
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		g.mutex.Lock()
		executable := g.executable
		g.mutex.Unlock()
		next, err := g.launch(g.ctx, i.zone, executable)
		if err == nil {
			g.admit(next, i)
			g.Told(fmt.Sprintf("instance %s in %s is healthy", next.id, next.zone))
			return
		}
		if g.ctx.Err() != nil {
			return
		}
		g.Told(fmt.Sprintf("%v; the next try is in %s", err, pause))
		select {
		case <-time.After(pause):
		case <-g.ctx.Done():
			return
		}
	}
}

// replace launches another instance with this program, waits until it is healthy, and drains and
// stops the one before: there are never fewer that serve than before.
func (g *group) replace(before *instance, executable string) error {
	next, err := g.launch(g.ctx, before.zone, executable)
	if err != nil {
		return err
	}
	g.admit(next, before)
	if err := g.retire(g.ctx, g.ctx, before); err != nil {
		g.Told(fmt.Sprintf("instance %s in %s: %v", before.id, before.zone, err))
	}
	return nil
}

// errRolledBack is in the error of a refresh whose instances run what they ran before.
var errRolledBack = errors.New("the group runs what it ran before")

// roll replaces one instance after the other by ones of this program. Where one fails, those that
// were replaced are rolled back, which the error tells as errRolledBack.
func (g *group) roll(executable string, progress func(done, of int)) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	before := g.members()
	for n, old := range before {
		progress(n, len(before))
		if err := g.replace(old, executable); err != nil {
			return errors.Join(err, g.rollBack(executable))
		}
	}
	progress(len(before), len(before))
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.executable = executable
	return nil
}

// rollBack replaces the instances of a program that failed.
func (g *group) rollBack(failed string) error {
	for _, i := range g.members() {
		if i.executable != failed {
			continue
		}
		if err := g.replace(i, g.executable); err != nil {
			return fmt.Errorf("rolling back: %w", err)
		}
	}
	return errRolledBack
}

// start does something beside, unless the group is stopped.
func (g *group) start(work func()) error {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.ctx.Err() != nil {
		return errStopped
	}
	g.work.Go(work)
	return nil
}

// stop retires all instances, side by side.
func (g *group) stop(ctx context.Context) error {
	g.mutex.Lock()
	g.cancel(errStopped)
	g.mutex.Unlock()
	g.changing.Lock() // what is being launched has given up
	g.mutex.Lock()
	instances := g.instances
	g.instances = nil
	g.mutex.Unlock()
	draining, cancel := context.WithTimeoutCause(ctx, lastRequests, errStopped)
	defer cancel()
	var ending sync.WaitGroup
	problems := make([]error, len(instances))
	for n, i := range instances {
		ending.Go(func() {
			problems[n] = g.Targets.Deregister(draining, i.id)
			stopping, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), lastBreath, errStopped)
			defer cancel()
			problems[n] = errors.Join(problems[n], g.retire(draining, stopping, i))
		})
	}
	ending.Wait()
	g.changing.Unlock()
	g.work.Wait()
	return errors.Join(problems...)
}
