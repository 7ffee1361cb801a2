// Command vault is HashiCorp Vault with what the tests of secret sources use: its core, its HTTP interface, the secrets
// engines `kv` and `database` (PostgreSQL and MySQL), the auth methods `approle` and `jwt`.
//
// Vault's own main package compiles the SDKs of all clouds; this one compiles what is named here. Nothing of Vault is
// changed. It keeps everything in memory, is unsealed when it starts, and prints its root token as its first line.
//
//	vault ADDRESS CERT KEY    CERT and KEY may be empty: without TLS
package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	log "github.com/hashicorp/go-hclog"
	jwt "github.com/hashicorp/vault-plugin-auth-jwt"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/logical/database"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/plugins/database/mysql"
	"github.com/hashicorp/vault/plugins/database/postgresql"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

// registry names the database plugins: all that Vault's `database` engine takes from it.
type registry struct{}

var databases = map[string]func() (interface{}, error){
	"postgresql-database-plugin": postgresql.New,
	"mysql-database-plugin":      mysql.New(mysql.DefaultUserNameTemplate),
}

func (registry) Contains(name string, kind consts.PluginType) bool {
	_, ok := databases[name]
	return ok && kind == consts.PluginTypeDatabase
}

func (registry) Get(name string, kind consts.PluginType) (func() (interface{}, error), bool) {
	if kind != consts.PluginTypeDatabase {
		return nil, false
	}
	f, ok := databases[name]
	return f, ok
}

func (registry) Keys(kind consts.PluginType) (keys []string) {
	if kind == consts.PluginTypeDatabase {
		for name := range databases {
			keys = append(keys, name)
		}
	}
	return keys
}

func (r registry) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, r.Contains(name, kind)
}

func (registry) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "vault:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 4 {
		return errors.New("usage: vault ADDRESS CERT KEY")
	}
	logger := log.New(&log.LoggerOptions{Level: log.Warn, Output: os.Stderr})
	store, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return err
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:        store,
		StorageType:     "inmem",
		BuiltinRegistry: registry{},
		LogicalBackends: map[string]logical.Factory{
			"kv": kv.Factory, "database": database.Factory,
		},
		CredentialBackends: map[string]logical.Factory{"approle": approle.Factory, "jwt": jwt.Factory},
		DisableMlock:       true,
		Logger:             logger,
		DefaultLeaseTTL:    time.Hour,
		MaxLeaseTTL:        24 * time.Hour,
	})
	if err != nil {
		return err
	}
	begun, err := core.Initialize(context.Background(), &vault.InitParams{
		BarrierConfig: &vault.SealConfig{SecretShares: 1, SecretThreshold: 1},
	})
	if err != nil {
		return err
	}
	if open, err := core.Unseal(begun.SecretShares[0]); err != nil || !open {
		return fmt.Errorf("unseal %s: %v", base64.StdEncoding.EncodeToString(begun.SecretShares[0]), err)
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		return err
	}
	handler := vaulthttp.Handler.Handler(&vault.HandlerProperties{
		Core: core, ListenerConfig: &configutil.Listener{Address: os.Args[1]},
	})
	fmt.Println(begun.RootToken)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	failed := make(chan error, 1)
	go func() {
		if os.Args[2] == "" {
			failed <- http.Serve(listener, handler)
		} else {
			failed <- http.ServeTLS(listener, handler, os.Args[2], os.Args[3])
		}
	}()
	select {
	case err := <-failed:
		return err
	case <-stop:
		return core.Shutdown()
	}
}
