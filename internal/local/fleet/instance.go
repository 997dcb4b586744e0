package fleet

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"diecast/internal/environment"
	"diecast/internal/local/process"
	"diecast/internal/local/server"
	"diecast/internal/surroundings"
)

// instance is a process of a group's program.
type instance struct {
	id, zone   string
	executable string
	launched   time.Time
	metadata   *metadata
	server     *server.Server
	// retired is closed when the group stops it.
	retired chan struct{}
}

// newID is like EC2's.
func newID() string {
	random := make([]byte, 9)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return "i-" + hex.EncodeToString(random)[:17]
}

// launch starts an instance and waits until it is healthy. When that fails, nothing of it is left.
func (g *group) launch(ctx context.Context, zone, executable string) (_ *instance, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, g.Grace,
		fmt.Errorf("the health check's grace period of %s is over", g.Grace))
	defer cancel()
	i := &instance{id: newID(), zone: zone, executable: executable, launched: time.Now(), retired: make(chan struct{})}
	defer func() {
		if err != nil {
			err = fmt.Errorf("instance %s in %s: %w", i.id, zone, errors.Join(err, g.retire(g.ctx, g.ctx, i)))
		}
	}()
	if i.metadata, err = startMetadata(i.id, zone, g.host.options.Region); err != nil {
		return nil, err
	}
	i.server, err = server.Start(ctx, server.Options{Dir: filepath.Join(g.host.options.Dir, i.id)}, server.Program{
		Name: filepath.Base(g.Source),
		Command: func(place server.Place) process.Command {
			return process.Command{
				Path: executable, Environment: g.environment(i, place), Grace: g.Stopping,
			}
		},
		// Whether it answers as it should is for the health check.
		Ready: func(ctx context.Context, place server.Place) error {
			connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", place.Address())
			if err != nil {
				return err
			}
			return connection.Close()
		},
		PortTaken: "address already in use",
	})
	if err != nil {
		return nil, err
	}
	if err := refusesStrangers(ctx, i.server.Address()); err != nil {
		return nil, err
	}
	if err := g.Targets.Register(i.id, i.server.Address()); err != nil {
		return nil, err
	}
	// One that ends will not become healthy.
	waiting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		select {
		case <-i.server.Exited():
			stop(i.server.Err())
		case <-waiting.Done():
		}
	}()
	if err := g.Targets.AwaitHealthy(waiting, i.id); err != nil {
		return nil, fmt.Errorf("%w; its log is %s", err, i.server.LogFile())
	}
	return i, nil
}

// refusesStrangers asks an instance without the key. Every user of this machine can.
func refusesStrangers(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return err
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return nil // it serves nobody, or not yet; whether it serves as it should is for the health check
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusForbidden {
		return fmt.Errorf("it answers %s to who does not tell its key in %s: it must answer 403", response.Status,
			environment.KeyHeader)
	}
	return nil
}

// environment is all that an instance's process sees: nothing comes from this process.
func (g *group) environment(i *instance, place server.Place) []string {
	host := g.host.options
	return surroundings.List(surroundings.Bare(place.Dir), g.Environment, host.Environment, map[string]string{
		g.PortVariable: strconv.Itoa(place.Port), g.KeyVariable: g.Targets.Key(),
		"AWS_REGION": host.Region,
		// On AWS these come from the metadata service, which here has none.
		"AWS_ACCESS_KEY_ID": host.Credentials.AccessKeyID, "AWS_SECRET_ACCESS_KEY": host.Credentials.SecretAccessKey,
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": i.metadata.endpoint(),
	})
}

// retire drains an instance, for as long as the context lets it, and stops it, as far as it was
// launched. The second context bounds the stop, beside Stopping.
func (g *group) retire(draining, stopping context.Context, i *instance) error {
	select {
	case <-i.retired:
		return nil
	default:
		close(i.retired)
	}
	problems := []error{g.Targets.Deregister(draining, i.id)}
	if i.server != nil {
		// An end of the whole group waits for nobody.
		if err := i.server.Stop(stopping); !errors.Is(err, errStopped) {
			problems = append(problems, err)
		}
	}
	if i.metadata != nil {
		problems = append(problems, i.metadata.stop())
	}
	return errors.Join(problems...)
}
