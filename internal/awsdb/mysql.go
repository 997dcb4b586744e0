package awsdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/go-sql-driver/mysql"
)

const (
	// answerTimeout is how long a statement may go without an answer, writeTimeout how long one may
	// take to be sent: a server that hangs, while its machine lives, would be waited for until the
	// function's own end.
	answerTimeout = 5 * time.Minute
	writeTimeout  = time.Minute
)

// OpenMySQL returns a pool for a MySQL or MariaDB database. It connects when the first connection
// is asked for. Times are in UTC, one call is one statement, and values never become part of a
// statement's text.
//
// An IAM token is a password that the server wants in clear text, so it is sent by verified TLS
// only; other passwords are never sent so.
func OpenMySQL(settings Settings, configuration aws.Config) (*sql.DB, error) {
	security, err := settings.TLS()
	if err != nil {
		return nil, err
	}
	if settings.Auth == IAM && security == nil {
		return nil, fmt.Errorf(
			"database user %s at %s: an IAM token is sent by TLS only: set DATABASE_TLS to verify-full",
			settings.User, settings.Address(),
		)
	}
	connection := mysql.NewConfig()
	connection.Net, connection.Addr, connection.DBName = "tcp", settings.Address(), settings.Name
	connection.TLS, connection.AllowFallbackToPlaintext = security, false
	connection.AllowCleartextPasswords = settings.Auth == IAM
	connection.ParseTime, connection.Loc = true, time.UTC
	connection.Params = map[string]string{"time_zone": "'+00:00'"}
	connection.DialFunc = dialer().DialContext
	connection.Timeout, connection.ReadTimeout, connection.WriteTimeout = connectTimeout, answerTimeout, writeTimeout
	connection.Logger = &mysql.NopLogger{} // its lines would be no JSON; errors come back to the caller
	login := settings.Login(configuration)
	err = connection.Apply(mysql.BeforeConnect(func(ctx context.Context, fresh *mysql.Config) error {
		var err error
		fresh.User, fresh.Passwd, err = login(ctx)
		return err
	}))
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to %s: %w", settings.Address(), err)
	}
	connector, err := mysql.NewConnector(connection)
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to %s: %w", settings.Address(), err)
	}
	pool := sql.OpenDB(pinging{connector})
	pool.SetMaxOpenConns(poolSize)
	pool.SetMaxIdleConns(poolSize)
	pool.SetConnMaxIdleTime(idleTimeout)
	return pool, nil
}

// pinging makes connections that are pinged before each use but the first.
type pinging struct{ driver.Connector }

// Connect makes one.
func (p pinging) Connect(ctx context.Context) (driver.Conn, error) {
	fresh, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	connection, whole := fresh.(mysqlConnection)
	if !whole {
		return nil, errors.Join(
			fmt.Errorf("the driver's connection, a %T, lacks a part that it is used by", fresh), fresh.Close(),
		)
	}
	return pinged{connection}, nil
}

// mysqlConnection is all that database/sql asks of a connection of the driver: what it lacked would
// go another, slower way.
type mysqlConnection interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

type pinged struct{ mysqlConnection }

// ResetSession is called where a connection that was idle is asked for. The driver's own only sees
// what the network has told: of a connection that died silently, nothing.
func (p pinged) ResetSession(ctx context.Context) error {
	if err := p.mysqlConnection.ResetSession(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if p.Ping(ctx) != nil {
		return driver.ErrBadConn // the pool takes another one
	}
	return nil
}
