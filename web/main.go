// Command web is the platform's web server: sales dashboards, the API for shops, health and
// provenance. It runs on the instances of an Auto Scaling group behind a load balancer, and as it
// is on a laptop. Its environment is environment.Web.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"diecast/internal/awsdb"
	"diecast/internal/catalogue"
	"diecast/internal/environment"
	"diecast/internal/sales"
	"diecast/web/api"
	"diecast/web/lifetime"
	"diecast/web/login"
	"diecast/web/server"
)

func main() {
	logger := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, logger, environment.OfProcess()); err != nil {
		logger.Error("the server ends", "error", err)
		os.Exit(1)
	}
}

// streamShare, in sixths of the deregistration delay, is how long a page that shows what changes
// stays connected: a server that leaves its balancer has lost all of them before the balancer cuts
// it off.
const streamShare = 5

// run serves until the context ends, and then until the load balancer has left.
func run(ctx context.Context, logger *slog.Logger, variables map[string]string) (err error) {
	started := time.Now()
	settings, err := environment.Read[environment.Web](variables)
	if err != nil {
		return err
	}
	address, err := awsdb.SettingsOf(settings.Database)
	if err != nil {
		return err
	}
	configuration, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(awshttp.NewBuildableClient().
		WithTimeout(callTimeout).
		WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = keptConnections })))
	if err != nil {
		return fmt.Errorf("AWS configuration: %w", err)
	}
	pool, err := awsdb.OpenMySQL(address, configuration)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	read, err := openStores(ctx, settings, configuration)
	if err != nil {
		return err
	}
	defer read.close()
	version, err := programHash()
	if err != nil {
		return err
	}
	var provenance atomic.Pointer[server.Provenance]
	provenance.Store(&server.Provenance{Version: version, Started: started})
	refresher := sales.NewRefresher(sales.NewDatabase(pool), time.Duration(settings.Refresh), logger)
	products := catalogue.NewKeeper(catalogue.NewDatabase(pool), time.Duration(settings.Refresh), logger)
	options := server.Options{
		Sales: refresher.State, Catalogue: products.State, Answers: read.recommendations,
		LongestStream: time.Duration(settings.Drain) * streamShare / 6,
		Provenance:    func() server.Provenance { return *provenance.Load() },
		Withhold:      settings.Sales == environment.Withheld,
		TLS:           bool(settings.HTTPS), FrameAncestors: settings.FrameAncestors, Logger: logger,
	}
	if settings.Shop {
		options.Shop = &server.Shop{Put: putOn(kinesis.NewFromConfig(configuration), settings.Stream),
			PerMinute: int(settings.SessionRate)}
	}
	if settings.OIDC.Required() {
		options.Login, err = login.New(login.Options{Issuer: settings.Issuer, ClientID: settings.ClientID,
			LoadBalancer: settings.LoadBalancer})
		if err != nil {
			return err
		}
		options.LoginOrigin = settings.Provider
	}
	shops := api.New(api.Options{
		Recommendations: read.recommendations, Similar: read.similar, Popular: read.popular.Ranking,
		Sales: refresher.State, Access: settings.API.Access, Login: options.Login,
		Origins: strings.Fields(settings.Origins), SessionRate: int(settings.SessionRate),
		TokenRate: int(settings.TokenRate), Logger: logger,
	})
	options.API = shops
	pages := server.New(options)
	maxHeader := 0 // lifetime's default
	if options.Login != nil {
		maxHeader = login.MaxHeader
	}
	// Where the database is on this machine, so are those who look at the pages.
	host := ""
	if environment.Loopback(settings.Database.Host) {
		host = "127.0.0.1"
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, settings.Port))
	if err != nil {
		return fmt.Errorf("WEB_PORT=%s: %w", settings.Port, err)
	}
	// What runs beside the pages ends after them: a draining server still has fresh figures.
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	var beside sync.WaitGroup
	defer beside.Wait()
	defer end()
	// The API tells sales to who bears a token, also where the pages tell them to nobody.
	if !options.Withhold || settings.API.Access != environment.APIRandom {
		beside.Go(func() { refresher.Run(background) })
	}
	// What the shop sells is no secret, where its sales are one.
	beside.Go(func() { products.Run(background) })
	beside.Go(func() { learnPlace(background, logger, configuration, &provenance) })
	logger.Info("serving", "address", listener.Addr().String(), "version", version,
		"start_ms", time.Since(started).Milliseconds())
	return lifetime.Server{
		Handler: fromBalancer(settings.Key, pages), Drain: func() { pages.Drain(); shops.Drain() },
		Longest: time.Duration(settings.Drain), HealthPath: "/healthz",
		MaxHeader: maxHeader, Logger: logger,
	}.Serve(ctx, listener)
}

// fromBalancer refuses, where there is a key, requests that do not tell it, health checks included.
func fromBalancer(key string, pages http.Handler) http.Handler {
	if key == "" {
		return pages
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get(environment.KeyHeader)), []byte(key)) != 1 {
			http.Error(w, "only the load balancer is served", http.StatusForbidden)
			return
		}
		r.Header.Del(environment.KeyHeader)
		pages.ServeHTTP(w, r)
	})
}

// programHash names a build: it carries no stamp of its source's version.
func programHash() (_ string, err error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read this program: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", fmt.Errorf("read this program: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}

// metadataTimeout is short: outside of EC2 there is no instance metadata.
const metadataTimeout = 5 * time.Second

// learnPlace asks the instance metadata service who this is. Pages do not wait for it.
func learnPlace(program context.Context, logger *slog.Logger, configuration aws.Config,
	provenance *atomic.Pointer[server.Provenance]) {
	ctx, cancel := context.WithTimeout(program, metadataTimeout)
	defer cancel()
	client := imds.NewFromConfig(configuration)
	read := func(path string) (text string, err error) {
		answer, err := client.GetMetadata(ctx, &imds.GetMetadataInput{Path: path})
		if err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, answer.Content.Close()) }()
		content, err := io.ReadAll(io.LimitReader(answer.Content, 256))
		return string(content), err
	}
	instance, err := read("instance-id")
	zone, zoneErr := read("placement/availability-zone")
	if err = errors.Join(err, zoneErr); err != nil && program.Err() == nil {
		logger.Warn("the instance metadata service does not answer: pages do not name the instance", "error", err)
	}
	known := *provenance.Load()
	known.Instance, known.Zone = instance, zone
	provenance.Store(&known)
}
