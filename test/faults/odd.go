package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	gluetypes "github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/uuid"

	"diecast/internal/etl"
	"diecast/internal/local/ledger"
	"diecast/internal/wait"
	"diecast/test/faults/audit"
)

// oddEvents are hostile ones.
func oddEvents() disturbance {
	return disturbance{"hostile events", fmt.Sprintf("%d kinds of bytes that nobody expects", len(hostileEvents())),
		func(ctx context.Context, r *run, chance *rand.Rand) error { return r.putHostile(ctx, chance.Uint64()) }}
}

// lateEvents come in every order, with ids that come twice and times that are equal.
func lateEvents() disturbance {
	return disturbance{"late and doubled events",
		"X at 1 s, X at 3 s, Y at 2 s, Z at 3 s and X at 1 s again, in 60 orders",
		func(ctx context.Context, r *run, _ *rand.Rand) error { return r.putLate(ctx) }}
}

// putLate puts one event of each order after the other, so that each order is seen by deliveries of
// their own.
func (r *run) putLate(ctx context.Context) error {
	l := &load{done: make(chan struct{})}
	close(l.done)
	// Z is the smallest of the ids: of the two at 3 s, X is the newest.
	ids := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	ids[0][0], ids[2][0] = 0xff, 0
	begun := time.Now().UTC().Add(-time.Minute).Truncate(time.Second)
	events := []struct {
		id int
		at time.Duration
	}{{0, 1}, {0, 3}, {1, 2}, {2, 3}, {0, 1}}
	orders := permutations(len(events))
	for place := range events {
		var batch []types.PutRecordsRequestEntry
		// Every second order is enough: the two copies of X at 1 s are alike.
		for n := 0; n < len(orders); n += 2 {
			session := fmt.Sprintf("late-%s-%d", ids[0], n)
			event := events[orders[n][place]]
			batch = append(batch, types.PutRecordsRequestEntry{PartitionKey: &session,
				Data: more(fmt.Sprintf(`,"event_id":%q,"event_time":%q`, ids[event.id],
					begun.Add(event.at*time.Second).Format(time.RFC3339)))})
			data := string(batch[len(batch)-1].Data)
			batch[len(batch)-1].Data = []byte(strings.Replace(data, `"session"`, `"`+session+`"`, 1))
		}
		if err := l.put(ctx, &r.view, batch); err != nil {
			return err
		}
		if err := pass(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	return l.wait(&r.view)
}

// permutations of the numbers below n.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, shorter := range permutations(n - 1) {
		for at := range n {
			longer := append(append(append([]int{}, shorter[:at]...), n-1), shorter[at:]...)
			all = append(all, longer)
		}
	}
	return all
}

// bucketAway deletes the archive's bucket, and makes it anew later. Each object is read before it
// goes.
func bucketAway(duration time.Duration) disturbance {
	return disturbance{"the bucket is away", "deleted, and made anew " + inWords(duration) + " later",
		func(ctx context.Context, r *run, _ *rand.Rand) error {
			rule := wait.Rule{For: 20 * time.Second, Pause: 10 * time.Millisecond}
			if err := rule.Until(ctx, r.deleteBucket); err != nil {
				return err
			}
			err := pass(ctx, duration)
			_, madeErr := r.to.S3.CreateBucket(context.WithoutCancel(ctx), &s3.CreateBucketInput{Bucket: &r.to.Bucket})
			return errors.Join(err, madeErr)
		}}
}

func (r *run) deleteBucket(ctx context.Context) error {
	err := r.readBucket(ctx, func(ctx context.Context, key string) error {
		if err := r.readObject(ctx, key); err != nil {
			return err
		}
		_, err := r.to.S3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &r.to.Bucket, Key: &key})
		return err
	})
	if err != nil {
		return err
	}
	_, err = r.to.S3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &r.to.Bucket})
	var away *s3types.NoSuchBucket
	if errors.As(err, &away) {
		return nil
	}
	return err
}

// serverKilled: the pages answer all the time, and the server is replaced.
func serverKilled() disturbance {
	return disturbance{"a web server is killed", "SIGKILL; the pages are asked for until it is replaced",
		func(ctx context.Context, r *run, _ *rand.Rand) error {
			before, err := r.find(servers)
			if err != nil {
				return err
			}
			if err := syscall.Kill(before[0].id, syscall.SIGKILL); err != nil {
				return err
			}
			for begun := time.Now(); time.Since(begun) < time.Minute; {
				if err := r.page(ctx); err != nil {
					return err
				}
				if now, err := r.find(servers); err == nil && len(now) == len(before) && now[0].id != before[0].id {
					return r.page(ctx)
				}
				if err := pass(ctx, 50*time.Millisecond); err != nil {
					return err
				}
			}
			return errors.New("it was not replaced within a minute")
		}}
}

// guardKilled: the run tells of it, and has another one.
func guardKilled() disturbance {
	return disturbance{"the guard is killed", "SIGKILL to what ends processes that a killed run would leave",
		func(ctx context.Context, r *run, _ *rand.Rand) error {
			before, err := r.find(guard)
			if err != nil {
				return err
			}
			if err := syscall.Kill(before[0].id, syscall.SIGKILL); err != nil {
				return err
			}
			return appearing.Until(ctx, func(context.Context) error {
				now, err := r.find(guard)
				if err == nil && now[0].id == before[0].id {
					err = errors.New("it was not replaced")
				}
				if words := r.lastWords(); err == nil && !strings.Contains(words, "the guard, process") {
					err = fmt.Errorf("the run has not told of it: %s", words)
				}
				return err
			})
		}}
}

// page asks for the pages as a browser does.
func (r *run) page(ctx context.Context) error {
	web, err := r.deployed.Web()
	jar, jarErr := cookiejar.New(nil)
	if err := errors.Join(err, jarErr); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, web.Page, nil)
	if err != nil {
		return err
	}
	answer, err := (&http.Client{Jar: jar, Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the pages answer %s", answer.Status)
	}
	return nil
}

// jobKilled: the run of the job has failed and says so, and another one may begin.
func jobKilled() disturbance {
	return disturbance{"the ETL job is killed", "SIGKILL to its processes while it runs",
		func(ctx context.Context, r *run, _ *rand.Rand) error {
			batch, err := etl.TargetOf(ctx, r.deployed)
			if err != nil {
				return err
			}
			begun, err := batch.Jobs.StartJobRun(ctx, &glue.StartJobRunInput{JobName: &batch.Job})
			if err != nil {
				return err
			}
			rule := wait.Rule{For: 30 * time.Second, Pause: 100 * time.Millisecond}
			if err := rule.Until(ctx, func(context.Context) error { return r.send(job, syscall.SIGKILL) }); err != nil {
				return err
			}
			return rule.Until(ctx, func(ctx context.Context) error {
				told, err := batch.Jobs.GetJobRun(ctx, &glue.GetJobRunInput{JobName: &batch.Job, RunId: begun.JobRunId})
				if err != nil {
					return err
				}
				state, message := told.JobRun.JobRunState, aws.ToString(told.JobRun.ErrorMessage)
				if state == gluetypes.JobRunStateFailed && message != "" {
					return nil
				}
				return fmt.Errorf("the job's run is %s, with the message %q", state, message)
			})
		}}
}

// countsInSight: what status tells is what is there.
func countsInSight() fault {
	return fault{
		name: "the counts of status",
		does: "compared with what is in the stream and the bucket after all that went before",
		must: "they are the same, and add up", within: 3 * time.Minute,
		try: func(ctx context.Context, b *bench) (string, error) {
			r, err := b.run(ctx)
			if err != nil {
				return "", err
			}
			sending := r.startLoad(ctx, b.chance.Uint64(), eventsEach)
			text, err := b.accounted(ctx, r, audit.Account{}, sending.wait(&r.view), patience)
			if err != nil {
				return text, err
			}
			found := r.ledger.Account()
			rule := wait.Rule{For: 10 * time.Second, Pause: 500 * time.Millisecond} // it is drawn up each second
			return text, rule.Until(ctx, func(ctx context.Context) error { return b.sameCounts(ctx, found) })
		},
	}
}

// sameCounts compares status with an account in which nothing is on its way.
func (b *bench) sameCounts(ctx context.Context, found audit.Account) error {
	text, err := b.operator(ctx, "local", "status", "--json")
	if err != nil {
		return err
	}
	var runs []struct {
		Account struct {
			ledger.Account
			Problems []string
		}
	}
	if err := json.Unmarshal(text, &runs); err != nil || len(runs) != 1 || len(runs[0].Account.Consumers) < 2 {
		return fmt.Errorf("status tells no account of two consumers: %s", text)
	}
	problems := []error{}
	for _, problem := range runs[0].Account.Problems {
		problems = append(problems, errors.New(problem))
	}
	for _, c := range runs[0].Account.Consumers {
		same := func(what string, told, seen int) {
			if told != seen {
				problems = append(problems, fmt.Errorf("%s: status tells of %d %s, there are %d", c.Name, told, what,
					seen))
			}
		}
		same("accepted records", c.Accepted, found.Records)
		same("pending", c.Pending, 0)
		if c.Archived > 0 {
			same("archived events", c.Archived, found.Archived)
			same("events in error", ledger.Sum(c.InError), ledger.Sum(found.Refused)+ledger.Sum(found.Failed))
		}
	}
	return errors.Join(problems...)
}

// killedItself: nothing outlives a run that is killed, and nobody takes it for one that is up.
func killedItself() fault {
	return fault{
		name: "SIGKILL of the run", does: "SIGKILL to its process while events arrive", within: 3 * time.Minute,
		lane: ending,
		must: "no process is left; status says that it is down; the next run starts",
		try: func(ctx context.Context, b *bench) (string, error) {
			r, err := b.run(ctx)
			if err != nil {
				return "", err
			}
			sending := r.startLoad(ctx, b.chance.Uint64(), 10*eventsEach)
			err = errors.Join(pass(ctx, time.Second), r.look(ctx))
			r.started = r.processes()
			err = errors.Join(err, r.signal(syscall.SIGKILL))
			<-r.exited
			err = errors.Join(err, r.noProcessLeft(ctx))
			sending.waitCutOff(&r.view)
			account := r.ledger.Account()
			b.drop()
			status, statusErr := b.operator(ctx, "local", "status", "--json")
			err = errors.Join(err, statusErr, account.Consistent())
			var runs []struct{ PID int }
			if err := json.Unmarshal(status, &runs); err != nil || len(runs) != 1 || runs[0].PID != 0 {
				return "", fmt.Errorf("status says %s", status)
			}
			_, asked := b.operator(ctx, "sql", "postgres", "--run", "default", "--command", "SELECT 1")
			if asked == nil {
				err = errors.Join(err, errors.New("a reader takes the run for one that is up"))
			}
			_, again := b.run(ctx)
			return fmt.Sprintf("until then %s", account), errors.Join(err, again)
		},
	}
}

// stoppedEarly is a signal while a run starts.
func stoppedEarly(signal syscall.Signal, name string) fault {
	return fault{
		name: "SIG" + name + " while it starts", does: "SIG" + name + ", four times, at moments that the seed draws",
		must:   fmt.Sprintf("the run has ended within %s each time; nothing is left", inWords(endWithin)),
		within: 3 * time.Minute, lane: ending,
		try: func(ctx context.Context, b *bench) (string, error) {
			if err := b.close(ctx); err != nil {
				return "", err
			}
			var slowest time.Duration
			for range 4 {
				took, err := b.interrupted(ctx, signal, time.Duration(50+b.chance.IntN(4000))*time.Millisecond)
				if err != nil {
					return "", err
				}
				slowest = max(slowest, took)
			}
			return fmt.Sprintf("the slowest end took %.1f s", slowest.Seconds()), nil
		},
	}
}

func (b *bench) interrupted(ctx context.Context, signal syscall.Signal, after time.Duration) (time.Duration, error) {
	r, out, err := b.launch()
	if err != nil {
		return 0, err
	}
	defer out.Close()
	defer r.kill()
	if err := pass(ctx, after); err != nil {
		return 0, err
	}
	r.started = r.processes()
	if err := r.signal(signal); err != nil {
		return 0, fmt.Errorf("the run ended by itself: %w: %s", err, r.lastWords())
	}
	took, err := r.ended(ctx, endWithin)
	if err == nil {
		err = r.nothingLeft(ctx)
	}
	if err != nil {
		err = fmt.Errorf("%s after its start: %w", after, err)
	}
	return took, err
}

// askedTwice is a second Ctrl-C while something hangs that the end waits for.
func askedTwice() fault {
	const atOnce = 2 * time.Second
	return fault{
		name: "a second Ctrl-C", does: "SIGINT, and SIGINT again half a second later, while the processor hangs",
		must: fmt.Sprintf("the run has ended %s after the second; nothing is left", inWords(atOnce)), lane: ending,
		within: 3 * time.Minute,
		try: func(ctx context.Context, b *bench) (string, error) {
			r, err := b.run(ctx)
			if err != nil {
				return "", err
			}
			defer b.drop()
			sending := r.startLoad(ctx, b.chance.Uint64(), eventsEach)
			err = pass(ctx, time.Second)
			r.started = r.processes()
			err = errors.Join(err, r.reach(ctx, transform, syscall.SIGSTOP), r.signal(syscall.SIGINT),
				pass(ctx, 500*time.Millisecond))
			if r.alive() {
				err = errors.Join(err, r.signal(syscall.SIGINT))
			}
			took, endErr := r.ended(ctx, atOnce)
			if endErr != nil {
				r.kill()
			}
			sending.waitCutOff(&r.view)
			return fmt.Sprintf("ended %.1f s after the second", took.Seconds()),
				errors.Join(err, endErr, r.nothingLeft(ctx))
		},
	}
}
